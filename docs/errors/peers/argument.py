import keras

net = keras.Sequential(
    [
        keras.Input((32, 32, 3)),
        keras.layers.Conv2D(64, 3, strid=2, activation="relu"),
        keras.layers.Conv2D(64, 3, activaton="relu"),
    ]
)
