//! Rooms, members and order: who hears what.
