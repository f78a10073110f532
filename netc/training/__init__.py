"""Training: `data.load` reads labelled pictures, `trainer.train` fits a graph's weights to them."""
