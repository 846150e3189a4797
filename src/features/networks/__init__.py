"""Networks that turn windows of frames into features, as their authors published them."""
