"""The demo of map: hyper-parameters over folds, with a worker killed on the way."""
