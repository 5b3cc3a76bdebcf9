"""The cluster's names: the change batch that is wanted (`plan`) and the zone it is sent to (`zone`)."""
