//! Fields of a journal entry as bytes: big-endian numbers, length-prefixed text.

/// Reads fields from the front of a payload; `None` once it ends early.
pub struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn short(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn int(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn long(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.int()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    /// A counted list; each item takes at least a byte, so a wrong count cannot ask for much.
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.int()?).ok().filter(|count| *count <= self.0.len())?;
        (0..count).map(|_| item(self)).collect()
    }
}

pub fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as i32).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

pub fn put_list<T>(out: &mut Vec<u8>, items: impl ExactSizeIterator<Item = T>, mut put: impl FnMut(&mut Vec<u8>, T)) {
    out.extend_from_slice(&(items.len() as i32).to_be_bytes());
    for item in items {
        put(out, item);
    }
}
