//! Real-time client-to-client communication.
