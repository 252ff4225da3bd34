/*! Parlor's own client for Socket.IO 4 servers (Engine.IO 4). MIT OR Apache-2.0 */
