"""Networks of our own, for what torch and MONAI do not bring; imported only when one is built."""
