//! The names of the machine's network devices.

use std::ffi::CStr;

/// The names of the devices of this thread's network namespace, as they were at one moment.
#[derive(Default)]
pub struct DeviceNames(Vec<(u32, [u8; libc::IF_NAMESIZE])>);

impl DeviceNames {
    /// Asks for them. There are none where the system does not give them, or memory runs out.
    pub fn read() -> Self {
        let mut names = Vec::new();
        // SAFETY: takes no arguments. Null: it failed.
        let list = unsafe { libc::if_nameindex() };
        if list.is_null() {
            return Self::default();
        }
        for at in 0.. {
            // SAFETY: an entry with the index 0 and a null name ends the list, and none after it is read.
            let entry = unsafe { &*list.add(at) };
            if entry.if_index == 0 || entry.if_name.is_null() || names.try_reserve(1).is_err() {
                break;
            }
            // SAFETY: a string that lives as long as the list.
            let octets = unsafe { CStr::from_ptr(entry.if_name) }.to_bytes();
            let mut name = [0; libc::IF_NAMESIZE];
            let length = octets.len().min(name.len() - 1);
            name[..length].copy_from_slice(&octets[..length]);
            names.push((entry.if_index, name));
        }
        // SAFETY: the list is if_nameindex()'s, and nothing refers to it any more.
        unsafe { libc::if_freenameindex(list) };
        names.sort_unstable_by_key(|(index, _)| *index);
        Self(names)
    }

    /// The name of the device with this index, where it has one that is text.
    pub fn of(&self, index: u32) -> Option<&str> {
        let at = self.0.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        CStr::from_bytes_until_nul(&self.0[at].1).ok()?.to_str().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_has_its_name() {
        let names = DeviceNames::read();
        assert_eq!(names.of(1), Some("lo"));
        assert_eq!((names.of(0), names.of(u32::MAX)), (None, None));
        assert_eq!(DeviceNames::default().of(1), None);
    }
}
