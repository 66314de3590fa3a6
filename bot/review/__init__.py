"""What moderators get to see: reports that advise, and never embed what they are about."""
