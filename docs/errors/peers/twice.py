import keras

image = keras.Input((32, 32, 3))
x = keras.layers.Conv2D(64, 3, name="conv1")(image)
x = keras.layers.Conv2D(64, 3, name="conv2")(x)
x = keras.layers.Conv2D(64, 3, name="conv1")(x)
net = keras.Model(image, x)
