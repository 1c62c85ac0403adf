//! Tables that fit the terminal. The last column may be a list, which goes on below where it is long.

use std::io::{self, Write};

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What stands above it.
    pub head: &'static str,
    /// Numbers stand to the right.
    pub right: bool,
    /// It is only shown where there is room for it.
    pub extra: bool,
}

/// A column of texts.
pub const fn left(head: &'static str) -> Column {
    Column { head, right: false, extra: false }
}

/// A column of numbers.
pub const fn right(head: &'static str) -> Column {
    Column { head, right: true, extra: false }
}

/// A column of numbers that is only shown where there is room for it.
pub const fn extra(head: &'static str) -> Column {
    Column { head, right: true, extra: true }
}

/// A row: its cells, and the items of its list.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    /// One for each column.
    pub cells: Vec<String>,
    /// The items of the list.
    pub list: Vec<String>,
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// Its columns.
    pub columns: &'a [Column],
    /// What stands above its list, where it has one.
    pub list: Option<&'static str>,
}

/// What a table is printed with: which columns, how wide, and where its list goes.
struct Layout {
    shown: Vec<(usize, usize)>,
    gap: usize,
    list: List,
}

enum List {
    None,
    /// Beside the columns, in so many characters.
    Beside(usize),
    /// On lines below each row.
    Below,
}

impl Table<'_> {
    /// Writes rows. `cells` is asked twice for each, so that they need not all be kept.
    pub fn write<R>(
        &self,
        out: &mut dyn Write,
        width: usize,
        rows: &[R],
        cells: &dyn Fn(&R) -> Cells,
    ) -> io::Result<()> {
        let layout = self.layout(width, rows, cells);
        let heads = self.columns.iter().map(|column| column.head.to_owned()).collect();
        let head =
            Cells { cells: heads, list: self.list.iter().map(|head| (*head).to_owned()).collect() };
        if matches!(layout.list, List::Below) {
            self.write_row(out, width, &layout, &Cells { list: Vec::new(), ..head })?;
        } else {
            self.write_row(out, width, &layout, &head)?;
        }
        rows.iter().try_for_each(|row| self.write_row(out, width, &layout, &cells(row)))
    }

    fn layout<R>(&self, width: usize, rows: &[R], cells: &dyn Fn(&R) -> Cells) -> Layout {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.head.len()).collect();
        let (mut item, mut whole) = (0, self.list.map_or(0, str::len));
        for row in rows {
            let Cells { cells, list } = cells(row);
            for (width, cell) in widths.iter_mut().zip(&cells) {
                *width = (*width).max(cell.chars().count());
            }
            item = item.max(list.iter().map(|one| one.len() + 1).max().unwrap_or(0));
            whole = whole.max(joined(&list));
        }
        item = item.max(self.list.map_or(0, str::len));
        let mut shown: Vec<(usize, usize)> = widths.into_iter().enumerate().collect();
        let wanted = if self.list.is_some() { whole } else { 0 };
        loop {
            for gap in [2, 1] {
                let columns: usize = shown.iter().map(|(_, width)| width + gap).sum();
                if self.list.is_none() && columns <= width + gap {
                    return Layout { shown, gap, list: List::None };
                }
                if self.list.is_some() && columns + wanted <= width {
                    return Layout { shown, gap, list: List::Beside(wanted) };
                }
            }
            // The least important column is the last one of the extra ones.
            match shown.iter().rposition(|(column, _)| self.columns[*column].extra) {
                Some(at) => drop(shown.remove(at)),
                None => break,
            }
        }
        let columns: usize = shown.iter().map(|(_, width)| width + 1).sum();
        let list = match (self.list, width.checked_sub(columns)) {
            (None, _) => List::None,
            (Some(_), Some(left)) if left >= item => List::Beside(left),
            (Some(_), _) => List::Below,
        };
        Layout { shown, gap: 1, list }
    }

    fn write_row(
        &self,
        out: &mut dyn Write,
        width: usize,
        layout: &Layout,
        row: &Cells,
    ) -> io::Result<()> {
        let mut line = String::new();
        for (at, (column, width)) in layout.shown.iter().enumerate() {
            if at > 0 {
                line.push_str(&" ".repeat(layout.gap));
            }
            let cell = row.cells.get(*column).map_or("", String::as_str);
            let room = " ".repeat(width.saturating_sub(cell.chars().count()));
            if self.columns[*column].right {
                line.push_str(&room);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&room);
            }
        }
        match layout.list {
            List::None => writeln!(out, "{}", line.trim_end()),
            List::Beside(room) => {
                let before = line.chars().count() + layout.gap;
                line.push_str(&" ".repeat(layout.gap));
                let mut lines = wrapped(&row.list, room).into_iter();
                writeln!(
                    out,
                    "{}",
                    format!("{line}{}", lines.next().unwrap_or_default()).trim_end()
                )?;
                lines.try_for_each(|text| writeln!(out, "{}{text}", " ".repeat(before)))
            }
            List::Below => {
                writeln!(out, "{}", line.trim_end())?;
                let lines = wrapped(&row.list, width.saturating_sub(7)).into_iter();
                lines.enumerate().try_for_each(|(at, text)| {
                    writeln!(out, "    {} {text}", if at == 0 { "->" } else { "  " })
                })
            }
        }
    }
}

fn joined(list: &[String]) -> usize {
    list.iter().map(|one| one.len() + 2).sum::<usize>().saturating_sub(2)
}

/// Items on as few lines as they need.
fn wrapped(list: &[String], room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (at, item) in list.iter().enumerate() {
        let item = if at + 1 < list.len() { format!("{item},") } else { item.clone() };
        match lines.last_mut() {
            Some(line) if line.len() + 1 + item.len() <= room => {
                line.push(' ');
                line.push_str(&item);
            }
            _ => lines.push(item),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table<'_> =
        Table { columns: &[left("Group"), right("Packets"), extra("Octets")], list: Some("Out") };

    fn printed(width: usize, list: &[&str]) -> Vec<String> {
        let cells = |_: &()| Cells {
            cells: vec!["239.1.1.1".into(), "12".into(), "34567".into()],
            list: list.iter().map(|one| (*one).to_owned()).collect(),
        };
        let mut out = Vec::new();
        TABLE.write(&mut out, width, &[()], &cells).unwrap();
        let lines: Vec<_> = String::from_utf8(out).unwrap().lines().map(str::to_owned).collect();
        assert!(lines.iter().all(|line| line.len() <= width), "{lines:?}");
        lines
    }

    #[test]
    fn all_columns_where_there_is_room() {
        assert_eq!(
            printed(80, &["eth1", "eth2"]),
            ["Group      Packets  Octets  Out", "239.1.1.1       12   34567  eth1, eth2"]
        );
    }

    #[test]
    fn the_extra_column_goes_first() {
        assert_eq!(
            printed(30, &["eth1", "eth2"]),
            ["Group      Packets  Out", "239.1.1.1       12  eth1, eth2"]
        );
    }

    #[test]
    fn a_long_list_goes_on_below() {
        assert_eq!(
            printed(24, &["eth1", "eth2", "eth3"]),
            [
                "Group     Packets Out",
                "239.1.1.1      12 eth1,",
                "                  eth2,",
                "                  eth3",
            ]
        );
        assert_eq!(
            printed(20, &["eth1", "eth2", "eth3"]),
            ["Group     Packets", "239.1.1.1      12", "    -> eth1, eth2,", "       eth3"]
        );
    }

    #[test]
    fn no_list_and_no_rows() {
        let mut out = Vec::new();
        let table = Table { columns: &[left("A"), left("B")], list: None };
        table.write(&mut out, 80, &[] as &[()], &|()| Cells::default()).unwrap();
        assert_eq!(out, b"A  B\n");
    }
}
