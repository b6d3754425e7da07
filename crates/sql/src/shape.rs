//! Texts that differ only in numbers.

/// Longer texts have no shape: finding it would take as long as classifying them.
pub(crate) const SHAPE_LIMIT: usize = 512;

/// What the statement must begin with: in these no number is more than a value. (`SET autocommit=1` is another thing
/// than `SET autocommit=0`.)
const BEGINNINGS: [&[u8]; 5] = [b"select ", b"insert ", b"update ", b"delete ", b"replace "];

/// What a byte is to a number beside it.
const BEFORE: u8 = 1;
const AFTER: u8 = 2;
const DIGIT: u8 = 4;
const ENDS: u8 = 8;

const fn table() -> [u8; 256] {
    let mut table = [0; 256];
    let both = b" =(,<>+-*/%\t\n\r)";
    let mut at = 0;
    while at < both.len() {
        table[both[at] as usize] = BEFORE | AFTER;
        at += 1;
    }
    let mut digit = b'0';
    while digit <= b'9' {
        table[digit as usize] = DIGIT;
        digit += 1;
    }
    // A later statement may be of any kind.
    table[b';' as usize] = ENDS;
    table
}

static TABLE: [u8; 256] = table();

/// Writes to `shape` the text with each number that stands by itself replaced by `0`, and says whether that has the same
/// [`Class`](crate::Class) in every dialect. A number stands by itself where neither a name nor another number could
/// go on: not in `t1`, `0x10`, `1e5`, `/*!50000`, and not behind a byte that may begin a character.
pub(crate) fn shape(text: &[u8], shape: &mut Vec<u8>) -> bool {
    shape.clear();
    let begins = |with: &&[u8]| {
        text.get(..with.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(with))
    };
    if text.len() > SHAPE_LIMIT || !BEGINNINGS.iter().any(begins) {
        return false;
    }
    let kind = |at: usize| text.get(at).map(|byte| TABLE[usize::from(*byte)]);
    let mut at = 0;
    loop {
        let from = at;
        while kind(at).is_some_and(|kind| kind & (DIGIT | ENDS) == 0) {
            at += 1;
        }
        shape.extend_from_slice(&text[from..at]);
        match kind(at) {
            None => break,
            Some(ENDS) => return false,
            Some(_) => {}
        }
        let number = at;
        while kind(at) == Some(DIGIT) {
            at += 1;
        }
        let before = number.checked_sub(1).and_then(kind).unwrap_or_default();
        let after = kind(at).unwrap_or(AFTER);
        if before & BEFORE != 0 && after & AFTER != 0 {
            shape.push(b'0');
        } else {
            shape.extend_from_slice(&text[number..at]);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        let mut out = Vec::new();
        shape(text.as_bytes(), &mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn numbers_that_stand_by_themselves_are_one() {
        let one = of("SELECT c FROM sbtest1 WHERE id=4711 AND n IN (1, 22,333)").unwrap();
        assert_eq!(one, "SELECT c FROM sbtest1 WHERE id=0 AND n IN (0, 0,0)");
        for kept in [
            "SELECT t1.5, 0x10, 1e5, 0b1, 5a, a5, 5.25, @5, 'x5', _latin1'5'",
            "SELECT /*!50000 1.5 */ LOG2(t2) FROM `5`",
            "select \u{4e00}5",
        ] {
            assert_eq!(of(kept).as_deref(), Some(kept));
        }
    }

    #[test]
    fn where_a_number_may_be_more_than_a_value_there_is_no_shape() {
        for text in [
            "SET autocommit=1",
            " SELECT 1",
            "/* */ SELECT 1",
            "SELECT 1; SET autocommit=1",
            "KILL 5",
            "CALL p(1)",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(of(&format!("SELECT {}", "1,".repeat(SHAPE_LIMIT))), None);
    }
}
