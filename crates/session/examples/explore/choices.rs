//! All sequences of choices, one after the other.

/// Walks all sequences of choices: each run takes the recorded prefix, then always 0; `next` counts up.
#[derive(Default)]
pub(crate) struct Choices {
    taken: Vec<(u8, u8)>,
    at: usize,
}

impl Choices {
    pub(crate) fn choose(&mut self, of: u8) -> u8 {
        if self.at == self.taken.len() {
            self.taken.push((0, of));
        }
        let (choice, _) = self.taken[self.at];
        self.at += 1;
        choice
    }

    pub(crate) fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((choice, of)) = self.taken.pop() {
            if choice + 1 < of {
                self.taken.push((choice + 1, of));
                return true;
            }
        }
        false
    }
}
