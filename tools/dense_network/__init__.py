"""What `tools/train_dense_network.py` is made of: pictures, augmentation, network, training."""
