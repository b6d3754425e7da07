//! Texts, taken apart into words.

use super::NotUnderstood;

/// A word of a text.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Token {
    Word(String),
    /// `@name` or `` @`name` ``, lower case.
    UserVariable(String),
    /// `@@[SESSION.]name`, lower case.
    SystemVariable(String),
    /// `@@GLOBAL.name`, lower case.
    GlobalVariable(String),
    Number(String),
    Text(String),
    /// `X'…'`.
    Bytes(Vec<u8>),
    Mark(char),
    Parameter,
}

pub(super) fn unhex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    hex.as_bytes()
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, half| byte << 4 | digit(*half)))
        .collect()
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, NotUnderstood> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    let word = |from: usize| {
        let more = bytes[from..]
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$'));
        from + more.count()
    };
    let until = |from: usize, end: u8| -> Result<usize, NotUnderstood> {
        let length = bytes[from..].iter().position(|b| *b == end);
        Ok(from + length.ok_or_else(|| format!("'{text}' is cut"))?)
    };
    while let Some(&first) = bytes.get(at) {
        match first {
            b' ' | b'\n' | b'\t' => at += 1,
            b'@' if bytes.get(at + 1) == Some(&b'@') => {
                let mut end = word(at + 2);
                let mut name = &text[at + 2..end];
                let global = name.eq_ignore_ascii_case("global");
                if global || name.eq_ignore_ascii_case("session") {
                    let start = end + 1;
                    end = word(start);
                    name = &text[start..end];
                }
                let name = name.to_ascii_lowercase();
                tokens.push(match global {
                    true => Token::GlobalVariable(name),
                    false => Token::SystemVariable(name),
                });
                at = end;
            }
            b'@' if bytes.get(at + 1) == Some(&b'`') => {
                let end = until(at + 2, b'`')?;
                tokens.push(Token::UserVariable(text[at + 2..end].to_ascii_lowercase()));
                at = end + 1;
            }
            b'@' => {
                let end = word(at + 1);
                tokens.push(Token::UserVariable(text[at + 1..end].to_ascii_lowercase()));
                at = end;
            }
            b'`' => {
                let end = until(at + 1, b'`')?;
                tokens.push(Token::Word(text[at + 1..end].to_owned()));
                at = end + 1;
            }
            b'\'' => {
                let end = until(at + 1, b'\'')?;
                tokens.push(Token::Text(text[at + 1..end].to_owned()));
                at = end + 1;
            }
            b'X' if bytes.get(at + 1) == Some(&b'\'') => {
                let end = until(at + 2, b'\'')?;
                tokens.push(Token::Bytes(unhex(&text[at + 2..end])));
                at = end + 1;
            }
            b'0'..=b'9' => {
                let digits = bytes[at..]
                    .iter()
                    .take_while(|b| b.is_ascii_digit() || **b == b'.');
                let end = at + digits.count();
                tokens.push(Token::Number(text[at..end].to_owned()));
                at = end;
            }
            b'?' => {
                tokens.push(Token::Parameter);
                at += 1;
            }
            _ if first.is_ascii_alphabetic() || first == b'_' => {
                let end = word(at);
                tokens.push(Token::Word(text[at..end].to_owned()));
                at = end;
            }
            _ => {
                tokens.push(Token::Mark(first as char));
                at += 1;
            }
        }
    }
    Ok(tokens)
}
