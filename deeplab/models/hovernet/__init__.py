"""HoVer-Net: nuclei one by one, and their types."""
