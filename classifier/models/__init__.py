"""Networks, where their weights come from, and the cards that say what they can and cannot do."""
