//! Column types and values of the binary protocol, for rows and for parameters.
//!
//! Source: MySQL internals manual, *Binary Protocol Resultset / Value*; `include/field_types.h`.

use crate::error::Error;
use crate::payload::Reader;

/// A type as in column definitions and parameter types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnType(pub u8);

#[expect(missing_docs, reason = "the names are the protocol's")]
impl ColumnType {
    pub const DECIMAL: Self = Self(0);
    pub const TINY: Self = Self(1);
    pub const SHORT: Self = Self(2);
    pub const LONG: Self = Self(3);
    pub const FLOAT: Self = Self(4);
    pub const DOUBLE: Self = Self(5);
    pub const NULL: Self = Self(6);
    pub const TIMESTAMP: Self = Self(7);
    pub const LONGLONG: Self = Self(8);
    pub const INT24: Self = Self(9);
    pub const DATE: Self = Self(10);
    pub const TIME: Self = Self(11);
    pub const DATETIME: Self = Self(12);
    pub const YEAR: Self = Self(13);
    pub const NEWDATE: Self = Self(14);
    pub const VARCHAR: Self = Self(15);
    pub const BIT: Self = Self(16);
    pub const TIMESTAMP2: Self = Self(17);
    pub const DATETIME2: Self = Self(18);
    pub const TIME2: Self = Self(19);
    pub const VECTOR: Self = Self(242);
    pub const JSON: Self = Self(245);
    pub const NEWDECIMAL: Self = Self(246);
    pub const ENUM: Self = Self(247);
    pub const SET: Self = Self(248);
    pub const TINY_BLOB: Self = Self(249);
    pub const MEDIUM_BLOB: Self = Self(250);
    pub const LONG_BLOB: Self = Self(251);
    pub const BLOB: Self = Self(252);
    pub const VAR_STRING: Self = Self(253);
    pub const STRING: Self = Self(254);
    pub const GEOMETRY: Self = Self(255);
}

/// A value of the binary protocol.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// Any signed integer.
    Int(i64),
    /// Any unsigned integer.
    UInt(u64),
    /// FLOAT.
    Float(f32),
    /// DOUBLE.
    Double(f64),
    /// DATE, DATETIME, TIMESTAMP.
    DateTime(DateTime),
    /// TIME.
    Time(Time),
    /// Everything else: strings, decimals, JSON, BIT.
    Bytes(&'a [u8]),
}

/// A date, with a time of day that is zero for DATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DateTime {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub microsecond: u32,
}

/// A signed span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Time {
    pub negative: bool,
    pub days: u32,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub microsecond: u32,
}

impl<'a> Value<'a> {
    /// Reads a value that is not NULL.
    ///
    /// # Errors
    /// The sender is blamed for a value that is cut, has a wrong length, or a type that has no binary form.
    pub fn read(reader: &mut Reader<'a>, kind: ColumnType, unsigned: bool) -> Result<Self, Error> {
        const CUT: &str = "a value is cut";
        Ok(match kind {
            ColumnType::NULL => Value::Null,
            ColumnType::TINY if unsigned => Value::UInt(reader.u8(CUT)?.into()),
            ColumnType::TINY => Value::Int(i8::from_le_bytes(reader.array(CUT)?).into()),
            ColumnType::SHORT | ColumnType::YEAR if unsigned => {
                Value::UInt(reader.u16(CUT)?.into())
            }
            ColumnType::SHORT | ColumnType::YEAR => {
                Value::Int(i16::from_le_bytes(reader.array(CUT)?).into())
            }
            ColumnType::LONG | ColumnType::INT24 if unsigned => {
                Value::UInt(reader.u32(CUT)?.into())
            }
            ColumnType::LONG | ColumnType::INT24 => {
                Value::Int(i32::from_le_bytes(reader.array(CUT)?).into())
            }
            ColumnType::LONGLONG if unsigned => Value::UInt(reader.u64(CUT)?),
            ColumnType::LONGLONG => Value::Int(i64::from_le_bytes(reader.array(CUT)?)),
            ColumnType::FLOAT => Value::Float(f32::from_le_bytes(reader.array(CUT)?)),
            ColumnType::DOUBLE => Value::Double(f64::from_le_bytes(reader.array(CUT)?)),
            ColumnType::DATE | ColumnType::DATETIME | ColumnType::TIMESTAMP => {
                Value::DateTime(DateTime::read(reader)?)
            }
            ColumnType::TIME => Value::Time(Time::read(reader)?),
            ColumnType::DECIMAL
            | ColumnType::VARCHAR
            | ColumnType::BIT
            | ColumnType::VECTOR
            | ColumnType::JSON
            | ColumnType::NEWDECIMAL
            | ColumnType::ENUM
            | ColumnType::SET
            | ColumnType::TINY_BLOB
            | ColumnType::MEDIUM_BLOB
            | ColumnType::LONG_BLOB
            | ColumnType::BLOB
            | ColumnType::VAR_STRING
            | ColumnType::STRING
            | ColumnType::GEOMETRY => Value::Bytes(reader.lenenc_bytes(CUT)?),
            _ => return Err(reader.malformed("a value has a type that is not known")),
        })
    }
}

impl DateTime {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        const CUT: &str = "a date is cut";
        let length = reader.u8(CUT)?;
        let mut date = DateTime::default();
        if !matches!(length, 0 | 4 | 7 | 11) {
            return Err(reader.malformed("a date has a length other than 0, 4, 7 or 11"));
        }
        if length >= 4 {
            date.year = reader.u16(CUT)?;
            [date.month, date.day] = reader.array(CUT)?;
        }
        if length >= 7 {
            [date.hour, date.minute, date.second] = reader.array(CUT)?;
        }
        if length == 11 {
            date.microsecond = reader.u32(CUT)?;
        }
        Ok(date)
    }
}

impl Time {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        const CUT: &str = "a time is cut";
        let length = reader.u8(CUT)?;
        let mut time = Time::default();
        if !matches!(length, 0 | 8 | 12) {
            return Err(reader.malformed("a time has a length other than 0, 8 or 12"));
        }
        if length >= 8 {
            time.negative = reader.u8(CUT)? != 0;
            time.days = reader.u32(CUT)?;
            [time.hour, time.minute, time.second] = reader.array(CUT)?;
        }
        if length == 12 {
            time.microsecond = reader.u32(CUT)?;
        }
        Ok(time)
    }
}

/// Whether bit `index` of a NULL bitmap is set; bits beyond it are not.
pub(crate) fn bit(bitmap: &[u8], index: usize) -> bool {
    bitmap
        .get(index / 8)
        .is_some_and(|byte| byte & (1 << (index % 8)) != 0)
}
