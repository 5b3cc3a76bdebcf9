"""After a crash of the engine: the stack's lock freed, and what an interrupted create left found and taken over.

The engine writes into its state what it is about to make, and takes the note away when that is made. A killed engine
leaves the notes: it doesn't know whether the objects exist, asks nobody, and makes them a second time. Here each note
is looked into, and then all are taken away.
"""

IDENTITY = "MIGRATION_RECOVERED_STACK"
"""Environment variable by which the program is told that it builds a lost state, and which identity that gets."""
