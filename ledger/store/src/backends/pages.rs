//! The content of a disk in memory, in pages that copies of it share.

use std::sync::Arc;

/// The unit of sharing. It is redb's page size, so that most writes replace whole pages.
const PAGE_BYTES: usize = 4096;

/// Bytes in shared pages. Cloning copies no page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pages {
    /// Every page has [`PAGE_BYTES`]; in the last one, those from `length` on are zero.
    pages: Vec<Arc<[u8]>>,
    length: usize,
}

/// A part of a write that lies in one page.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    /// Replaces a whole page. The content of the disk shares it.
    Page { number: usize, page: Arc<[u8]> },
    /// Replaces some bytes of a page.
    Part { offset: usize, data: Vec<u8> },
}

impl Piece {
    /// Splits a write at the boundaries of pages.
    pub(crate) fn of(offset: usize, data: &[u8]) -> impl Iterator<Item = Piece> {
        split(offset, data, PAGE_BYTES).map(|(offset, data)| {
            if data.len() == PAGE_BYTES {
                Piece::Page { number: offset / PAGE_BYTES, page: Arc::from(data) }
            } else {
                Piece::Part { offset, data: data.to_vec() }
            }
        })
    }

    /// Splits the piece at the boundaries of sectors, whose size divides that of pages.
    pub(crate) fn sectors(&self, sector_bytes: usize) -> impl Iterator<Item = Piece> {
        let (offset, data) = match self {
            Piece::Page { number, page } => (number * PAGE_BYTES, &page[..]),
            Piece::Part { offset, data } => (*offset, &data[..]),
        };
        split(offset, data, sector_bytes).map(|(offset, data)| Piece::Part { offset, data: data.to_vec() })
    }
}

/// Splits a write at the multiples of `unit`.
fn split(mut offset: usize, mut rest: &[u8], unit: usize) -> impl Iterator<Item = (usize, &[u8])> {
    std::iter::from_fn(move || {
        let length = (unit - offset % unit).min(rest.len());
        let (part, behind) = rest.split_at(length);
        let found = (offset, part);
        (offset, rest) = (offset + length, behind);
        (!part.is_empty()).then_some(found)
    })
}

impl Pages {
    /// Pages with this content.
    pub(crate) fn new(contents: &[u8]) -> Self {
        let mut pages = Pages::default();
        pages.resize(contents.len());
        Piece::of(0, contents).for_each(|piece| pages.write(&piece));
        pages
    }

    /// A copy of all bytes.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = self.pages.concat();
        bytes.truncate(self.length);
        bytes
    }

    /// Number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Copies the bytes from `offset` on. `false` if some are beyond the end.
    #[must_use]
    pub(crate) fn read(&self, offset: usize, out: &mut [u8]) -> bool {
        if offset.checked_add(out.len()).is_none_or(|end| end > self.length) {
            return false;
        }
        let (mut number, mut start, mut rest) = (offset / PAGE_BYTES, offset % PAGE_BYTES, out);
        while !rest.is_empty() {
            let length = (PAGE_BYTES - start).min(rest.len());
            let (part, behind) = rest.split_at_mut(length);
            part.copy_from_slice(&self.pages[number][start..start + length]);
            (number, start, rest) = (number + 1, 0, behind);
        }
        true
    }

    /// Writes a piece. Bytes beyond the end are lost.
    pub(crate) fn write(&mut self, piece: &Piece) {
        match piece {
            Piece::Page { number, page } => {
                if (number + 1) * PAGE_BYTES <= self.length {
                    self.pages[*number] = Arc::clone(page);
                } else {
                    self.write_part(number * PAGE_BYTES, page);
                }
            }
            Piece::Part { offset, data } => self.write_part(*offset, data),
        }
    }

    fn write_part(&mut self, offset: usize, data: &[u8]) {
        let length = data.len().min(self.length.saturating_sub(offset));
        if length > 0 {
            let start = offset % PAGE_BYTES;
            let page = Arc::make_mut(&mut self.pages[offset / PAGE_BYTES]);
            page[start..start + length].copy_from_slice(&data[..length]);
        }
    }

    /// Cuts the end off, or adds zeros.
    pub(crate) fn resize(&mut self, length: usize) {
        self.length = length;
        let count = length.div_ceil(PAGE_BYTES);
        if count > self.pages.len() {
            // All new pages are the same one until they are written.
            self.pages.resize(count, Arc::from([0; PAGE_BYTES]));
        }
        self.pages.truncate(count);
        if let Some(last) = self.pages.last_mut()
            && !length.is_multiple_of(PAGE_BYTES)
        {
            Arc::make_mut(last)[length % PAGE_BYTES..].fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: usize = 3 * PAGE_BYTES + 100;

    fn read(pages: &Pages, offset: usize, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        pages.read(offset, &mut bytes).then_some(bytes)
    }

    fn write(pages: &mut Pages, offset: usize, data: &[u8]) {
        Piece::of(offset, data).for_each(|piece| pages.write(&piece));
    }

    #[test]
    fn writes_across_pages_are_read_again_and_cut_at_the_end() {
        let mut bytes: Vec<u8> = (0..=250).cycle().take(LENGTH).collect();
        let mut pages = Pages::new(&bytes);
        assert_eq!((pages.len(), pages.to_vec()), (LENGTH, bytes.clone()));
        for (offset, length) in [(5, 1), (4090, 12), (4096, 4096), (100, 9000), (8192, 4196), (LENGTH, 0)] {
            let data = vec![255; length];
            write(&mut pages, offset, &data);
            bytes[offset..offset + length].copy_from_slice(&data);
            assert_eq!(pages.to_vec(), bytes, "{length} bytes from {offset} on");
            assert_eq!(read(&pages, offset, length), Some(data));
        }
        for offset in [3 * PAGE_BYTES, LENGTH - 1, LENGTH, usize::MAX / 2] {
            let kept = bytes.get_mut(offset..).unwrap_or_default();
            kept.fill(7);
            write(&mut pages, offset, &[7; 2 * PAGE_BYTES]);
            assert_eq!(pages.to_vec(), bytes, "from {offset} on");
        }
        assert_eq!(read(&pages, LENGTH - 1, 2), None);
        assert_eq!(read(&pages, usize::MAX, 2), None);
    }

    #[test]
    fn what_was_cut_off_is_zero_when_the_disk_grows_again() {
        let mut pages = Pages::new(&[1; LENGTH]);
        for length in [LENGTH - 1, 2 * PAGE_BYTES, 5, 0] {
            pages.resize(length);
            assert_eq!(pages.to_vec(), vec![1; length]);
            pages.resize(LENGTH);
            let mut wanted = vec![1; length];
            wanted.resize(LENGTH, 0);
            assert_eq!(pages.to_vec(), wanted, "after {length}");
        }
    }

    #[test]
    fn copies_share_pages_until_one_changes() {
        let original = Pages::new(&[1; LENGTH]);
        let mut copy = original.clone();
        write(&mut copy, 10, &[2; 10]);
        write(&mut copy, PAGE_BYTES, &[2; PAGE_BYTES]);
        let shared: Vec<bool> =
            original.pages.iter().zip(&copy.pages).map(|(one, other)| Arc::ptr_eq(one, other)).collect();
        assert_eq!(shared, [false, false, true, true]);
        assert_eq!(original.to_vec(), [1; LENGTH]);
    }

    #[test]
    fn a_piece_has_the_sectors_of_its_write() {
        let data: Vec<u8> = (0..=250).cycle().take(PAGE_BYTES + 700).collect();
        let parts: Vec<(usize, Vec<u8>)> = Piece::of(4000, &data)
            .flat_map(|piece| piece.sectors(512).collect::<Vec<_>>())
            .map(|piece| match piece {
                Piece::Part { offset, data } => (offset, data),
                Piece::Page { .. } => unreachable!("a sector is no page"),
            })
            .collect();
        let starts: Vec<usize> = parts.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(starts, [4000, 4096, 4608, 5120, 5632, 6144, 6656, 7168, 7680, 8192, 8704]);
        assert_eq!(parts.into_iter().flat_map(|(_, data)| data).collect::<Vec<_>>(), data);
    }
}
