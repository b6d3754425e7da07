//! Lines of text for people.

/// Columns of a line.
const WIDTH: usize = 100;

/// The words of `text` in lines of at most 100 columns, where they are short enough: the first begins with `first`, the
/// others with `then`; each ends with a line break.
pub(crate) fn wrapped(first: &str, then: &str, text: &str) -> String {
    let mut out = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = then.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    out.push_str(&line);
    out.push('\n');
    out
}
