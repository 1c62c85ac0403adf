//! A list whose links are beside the values, wherever these are kept: putting a value in or taking it
//! out, from anywhere in the list, takes the same few steps and no memory.

use crate::core::containers::slab::NONE;

/// The neighbours of a value in its list.
#[derive(Clone, Copy, Default)]
pub struct Links {
    prev: u32,
    next: u32,
}

/// Where the links of the value with a number are.
pub type LinksOf<S> = fn(&mut S, u32) -> &mut Links;

/// The two ends of a list of numbered values, first in, first out.
#[derive(Clone, Copy, Debug)]
pub struct List {
    head: u32,
    tail: u32,
}

impl Default for List {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl List {
    /// No values.
    pub const EMPTY: Self = Self { head: NONE, tail: NONE };

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// The first value.
    pub fn first(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    /// The first value, where it is the only one.
    pub fn only(&self) -> Option<u32> {
        if self.head == self.tail { self.first() } else { None }
    }

    /// The value after one that is in the list.
    pub fn after(links: Links) -> Option<u32> {
        (links.next != NONE).then_some(links.next)
    }

    /// The last value.
    pub fn last(&self) -> Option<u32> {
        (self.tail != NONE).then_some(self.tail)
    }

    /// The value before one that is in the list.
    pub fn before(links: Links) -> Option<u32> {
        (links.prev != NONE).then_some(links.prev)
    }

    /// Puts a value that is in no list at the end.
    #[inline]
    pub fn append<S>(&mut self, values: &mut S, id: u32, links: LinksOf<S>) {
        *links(values, id) = Links { prev: self.tail, next: NONE };
        match self.tail {
            NONE => self.head = id,
            tail => links(values, tail).next = id,
        }
        self.tail = id;
    }

    /// Takes out a value that is in the list.
    #[inline]
    pub fn remove<S>(&mut self, values: &mut S, id: u32, links: LinksOf<S>) {
        let Links { prev, next } = *links(values, id);
        match prev {
            NONE => self.head = next,
            _ => links(values, prev).next = next,
        }
        match next {
            NONE => self.tail = prev,
            _ => links(values, next).prev = prev,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_goes_from_anywhere() {
        let mut links = [Links::default(); 5];
        let mut list = List::EMPTY;
        let of: LinksOf<[Links; 5]> = |links, id| &mut links[id as usize];
        for id in 0..5 {
            list.append(&mut links, id, of);
        }
        for (gone, left) in [(2, &[0, 1, 3, 4][..]), (0, &[1, 3, 4]), (4, &[1, 3]), (1, &[3])] {
            list.remove(&mut links, gone, of);
            let all = std::iter::successors(list.first(), |id| List::after(links[*id as usize]));
            assert_eq!(all.collect::<Vec<_>>(), left);
            let all = std::iter::successors(list.last(), |id| List::before(links[*id as usize]));
            assert!(all.eq(left.iter().rev().copied()));
        }
        list.remove(&mut links, 3, of);
        assert!(list.is_empty());
        assert_eq!(list.only(), None);
        list.append(&mut links, 2, of);
        assert_eq!((list.first(), List::after(links[2])), (Some(2), None));
        assert_eq!(list.only(), Some(2));
        list.append(&mut links, 4, of);
        assert_eq!(list.only(), None);
    }
}
