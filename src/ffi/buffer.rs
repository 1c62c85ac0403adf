//! A caller's buffer that is filled with records.
//!
//! It is accessed through raw pointers only, because it may be unaligned and uninitialised.

use super::convert::required;
use super::types::{DWORD, PBYTE, PDWORD};
use crate::core::state::record::Rest;
use crate::error::Error;
use std::ptr::NonNull;

/// Records that consist of 32-bit words only.
///
/// # Safety
/// The type has no padding: every octet of it is initialised.
pub(super) unsafe trait Words: Copy {}

/// A caller's buffer that is filled with whole records, its size, and its number of records.
pub(super) struct OutBuffer {
    size: NonNull<DWORD>,
    data: PBYTE,
    room: usize,
    used: usize,
    num_entries: Option<NonNull<DWORD>>,
    entries: DWORD,
    /// The size of the first record, where it did not fit.
    needed: Option<usize>,
}

impl OutBuffer {
    /// Takes the buffer arguments of a reading function; `num_entries` is None where the function
    /// has no such parameter. A null buffer is allowed where its size is 0: it is not touched.
    ///
    /// # Safety
    /// Each pointer is null or valid while the `OutBuffer` lives: `size` and `num_entries` for a
    /// DWORD, `data` for writing `*size` octets.
    pub(super) unsafe fn new(
        size: PDWORD,
        data: PBYTE,
        num_entries: Option<PDWORD>,
    ) -> Result<Self, Error> {
        let size = required(size, "pdwBufferSize")?;
        let num_entries = match num_entries {
            Some(pointer) => Some(required(pointer, "pdwNumEntries")?),
            None => None,
        };
        // SAFETY: not null, and the caller's promise.
        let room = unsafe { size.read_unaligned() } as usize;
        if room != 0 {
            required(data, "pbBuffer")?;
        }
        Ok(Self { size, data, room, used: 0, num_entries, entries: 0, needed: None })
    }

    /// Octets not written yet.
    pub(super) fn left(&self) -> usize {
        self.room - self.used
    }

    /// Octets written.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Records written.
    pub(super) fn entries(&self) -> DWORD {
        self.entries
    }

    /// Writes octets behind those that are there. The caller has checked that there is room.
    pub(super) fn write(&mut self, octets: &[u8]) {
        assert!(octets.len() <= self.left());
        // SAFETY: `new` was promised `room` octets at `data`, and `used + len <= room`. `octets`
        // is memory of ours, so the two do not overlap.
        unsafe {
            self.data.add(self.used).copy_from_nonoverlapping(octets.as_ptr(), octets.len());
        }
        self.used += octets.len();
    }

    /// Writes a record: the first `HEAD` octets of `head`, and behind them an item for each of
    /// `list`. False: it does not fit, and nothing was written.
    pub(super) fn put<const HEAD: usize, H: Words, T: Words, L>(
        &mut self,
        head: &H,
        list: &[L],
        item: impl Fn(&L) -> T,
    ) -> bool {
        const { assert!(HEAD <= size_of::<H>()) };
        let size = HEAD + list.len() * size_of::<T>();
        if size > self.left() {
            if self.entries == 0 {
                self.needed = Some(size);
            }
            return false;
        }
        // SAFETY: `new` was promised `room` octets at `data`, and `used + size <= room`: HEAD octets
        // of a value that has as many and no uninitialised ones (`Words`), and an item for each of
        // the list. The values are ours, so they do not overlap the buffer.
        unsafe {
            let to = self.data.add(self.used);
            to.copy_from_nonoverlapping((&raw const *head).cast(), HEAD);
            let mut to = to.add(HEAD);
            for of in list {
                to.cast::<T>().write_unaligned(item(of));
                to = to.add(size_of::<T>());
            }
        }
        self.used += size;
        self.entries += 1;
        true
    }

    /// Writes the size needed to the caller's variable (rule A2).
    pub(super) fn insufficient(&mut self, needed: usize) -> Error {
        let needed = DWORD::try_from(needed).unwrap_or(DWORD::MAX);
        // SAFETY: the promise made to `new`.
        unsafe { self.size.write_unaligned(needed) };
        self.entries = 0;
        self.write_entries();
        Error::InsufficientBuffer { needed }
    }

    /// Ends the reading of many records: writes their number, or the size needed (rule E11).
    pub(super) fn finish(&mut self, rest: Rest) -> Result<Rest, Error> {
        match self.needed {
            Some(needed) => Err(self.insufficient(needed)),
            None => {
                self.write_entries();
                Ok(rest)
            }
        }
    }

    fn write_entries(&mut self) {
        if let Some(pointer) = self.num_entries {
            // SAFETY: the promise made to `new`.
            unsafe { pointer.write_unaligned(self.entries) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_buffers_of_no_size() {
        let (mut size, mut count) = (0, 99);
        // SAFETY: the two variables outlive the buffer, and 0 octets are there.
        let new = |size, count| unsafe { OutBuffer::new(size, std::ptr::null_mut(), count) };
        assert!(new(&raw mut size, Some(&raw mut count)).is_ok());
        size = 1;
        let null = |name| Some(Error::NullPointer(name));
        assert_eq!(new(&raw mut size, None).err(), null("pbBuffer"));
        assert_eq!(new(std::ptr::null_mut(), None).err(), null("pdwBufferSize"));
        assert_eq!(new(&raw mut size, Some(std::ptr::null_mut())).err(), null("pdwNumEntries"));
    }
}
