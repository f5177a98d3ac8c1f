"""From a pool of documents and one neuron to a corpus, and what that corpus is worth."""
