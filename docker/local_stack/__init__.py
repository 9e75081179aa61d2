"""The whole real stack on one machine: MongoDB, Girder with HistomicsUI, broker, worker, image."""
