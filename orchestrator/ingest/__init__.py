"""From a data set's folders on disk to checked shards."""
