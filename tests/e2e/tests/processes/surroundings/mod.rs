//! What surrounds a node and may be wrong: files, disks, ports, strangers.

mod disks;
mod files;
mod garbage;
mod outsiders;
mod ports;
