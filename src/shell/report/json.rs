//! Writes JSON to a writer chunk by chunk, and never needs more memory than one chunk.

#![forbid(unsafe_code)]

use crate::error::Error;
use serde::Serialize;
use std::io::{self, Write};

/// How many rows are read under one lock.
const CHUNK_ROWS: usize = 256;
/// A chunk is written out when it is longer than this, in octets.
const CHUNK_SIZE: usize = 32 * 1024;

/// JSON that is written in chunks.
pub struct Json<'a> {
    out: &'a mut dyn Write,
    chunk: TextChunk,
    /// What is written before the next member or row.
    separator: &'static str,
    /// Rows in the chunk.
    rows: usize,
}

/// A buffer whose growth never aborts. Where memory runs out it remembers this and takes no more;
/// it gives no error, because serde would allocate one.
struct TextChunk {
    text: Vec<u8>,
    out_of_memory: bool,
}

impl Write for TextChunk {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.out_of_memory |= self.text.try_reserve(text.len()).is_err();
        if !self.out_of_memory {
            self.text.extend_from_slice(text);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> Json<'a> {
    /// The beginning of an object.
    pub fn new(out: &'a mut dyn Write) -> Self {
        let chunk = TextChunk { text: Vec::new(), out_of_memory: false };
        Self { out, chunk, separator: "{", rows: 0 }
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        self.put(|chunk| chunk.write_all(text.as_bytes()).is_ok())
    }

    fn value(&mut self, value: &impl Serialize) -> Result<(), Error> {
        self.put(|chunk| serde_json::to_writer(chunk, value).is_ok())
    }

    /// Writes to the chunk, and then checks whether memory ran out.
    fn put(&mut self, write: impl FnOnce(&mut TextChunk) -> bool) -> Result<(), Error> {
        let written = write(&mut self.chunk);
        if written && !self.chunk.out_of_memory { Ok(()) } else { Err(Error::OutOfMemory) }
    }

    fn name(&mut self, name: &str) -> Result<(), Error> {
        self.text(self.separator)?;
        self.separator = ",";
        self.value(&name)?;
        self.text(":")
    }

    /// A member of the object.
    pub fn member(&mut self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        self.name(name)?;
        self.value(value)
    }

    /// A member that is a list; its rows follow.
    pub fn begin_list(&mut self, name: &str) -> Result<(), Error> {
        self.name(name)?;
        self.separator = "";
        self.text("[")
    }

    /// Ends the list.
    pub fn end_list(&mut self) -> Result<(), Error> {
        self.separator = ",";
        self.text("]")
    }

    /// Writes one row of the list.
    pub fn row(&mut self, row: &impl Serialize) -> Result<(), Error> {
        self.text(self.separator)?;
        self.separator = ",";
        self.rows += 1;
        self.value(row)
    }

    /// Writes rows until the chunk is full. Gives the place of the last one, None at the end.
    pub fn rows<P: Copy, R, V: Serialize>(
        &mut self,
        rows: impl Iterator<Item = (P, R)>,
        value: impl Fn(P, &R) -> V,
    ) -> Result<Option<P>, Error> {
        for (place, row) in rows {
            self.row(&value(place, &row))?;
            if self.is_full() {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Whether the chunk is to be written out.
    pub const fn is_full(&self) -> bool {
        self.rows >= CHUNK_ROWS || self.chunk.text.len() >= CHUNK_SIZE
    }

    /// Writes the chunk out. Called with nothing locked.
    pub fn flush(&mut self) -> Result<(), Error> {
        let written = self.out.write_all(&self.chunk.text);
        self.chunk.text.clear();
        self.rows = 0;
        written.map_err(|error| Error::NotWritten(error.kind()))
    }

    /// Ends the object.
    pub fn end(mut self) -> Result<(), Error> {
        self.text("}")?;
        self.flush()
    }
}
