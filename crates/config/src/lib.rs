//! Declares configuration keys once; reads, prints, updates and documents them.
