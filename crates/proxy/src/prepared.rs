//! Prepared statements that live on across server connections.
//!
//! The client's ids are given by Steadfast; each server connection prepares a statement when it is first used there.
//! What the client was told of it (parameters, columns) is digested: if another server connection tells otherwise,
//! the client gets 1615 and prepares again, as after an ALTER TABLE.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use steadfast_sql::{Class, Dialect, classify};
use steadfast_wire::command::{BulkExecute, Execute, ParameterTypes, code};
use steadfast_wire::{Capabilities, Error};

/// A statement as a client prepared it.
#[derive(Debug)]
pub(crate) struct Prepared {
    id: u32,
    text: Bytes,
    parameters: u16,
    /// `None`: not compared.
    digest: Option<u64>,
    /// The default schema that its names without a schema mean.
    schema: Option<Box<[u8]>>,
    /// How its text was lexed.
    dialect: Dialect,
    class: Cell<(Dialect, Class)>,
    /// Types that the client sent with its last execution that had some.
    types: RefCell<Rc<[u8]>>,
    /// The connection that it was last prepared on, and its id there.
    there: Cell<Option<There>>,
    /// The types that the server has from the last execution there.
    types_there: RefCell<Option<Rc<[u8]>>>,
}

/// A prepared statement on one server connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct There {
    /// Which connection: the number of the attachment.
    pub(crate) connection: u64,
    /// The server's statement id.
    pub(crate) id: u32,
}

impl Prepared {
    /// The statement with the client's `id` and this text; `digest` of what the client was told.
    pub(crate) fn new(
        id: u32,
        text: Bytes,
        parameters: u16,
        digest: u64,
        dialect: Dialect,
        schema: Option<&[u8]>,
    ) -> Self {
        let class = classify(&text, dialect);
        Self {
            id,
            text,
            parameters,
            digest: Some(digest),
            schema: schema.map(Into::into),
            dialect,
            class: Cell::new((dialect, class)),
            types: RefCell::new(Rc::from([])),
            there: Cell::new(None),
            types_there: RefCell::new(None),
        }
    }

    /// The id that the client knows.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Its SQL.
    pub(crate) fn text(&self) -> &Bytes {
        &self.text
    }

    /// The default schema that its names without a schema mean; `None` if there was none, and every name has one.
    pub(crate) fn schema(&self) -> Option<&[u8]> {
        self.schema.as_deref()
    }

    /// How its text was lexed when the client prepared it.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether parameters and columns with this digest are those that the client was told.
    pub(crate) fn is_as_told(&self, digest: u64) -> bool {
        self.digest.is_none_or(|told| told == digest)
    }

    /// The same with another text, which asks the same and carries the answers: for one execution.
    pub(crate) fn answered(&self, text: Bytes) -> Self {
        Self {
            id: self.id,
            parameters: self.parameters,
            digest: None,
            schema: self.schema.clone(),
            dialect: self.dialect,
            class: self.class.clone(),
            types: RefCell::new(self.types.borrow().clone()),
            there: Cell::new(None),
            types_there: RefCell::new(None),
            text,
        }
    }

    /// The class of its text. A statement is parsed when it is prepared, and again when the server prepares it anew
    /// behind the scenes, then by the `sql_mode` of then: the class is that of the dialect now, if it differs.
    pub(crate) fn class(&self, dialect: Dialect) -> Class {
        let (known, class) = self.class.get();
        if known == dialect {
            return class;
        }
        let class = classify(&self.text, dialect);
        self.class.set((dialect, class));
        class
    }

    /// Its id on the server connection, if it is prepared there.
    pub(crate) fn on(&self, connection: u64) -> Option<There> {
        self.there
            .get()
            .filter(|there| there.connection == connection)
    }

    /// It has been prepared on a server connection.
    pub(crate) fn prepared_on(&self, there: There) {
        self.there.set(Some(there));
        self.types_there.replace(None);
    }

    /// The client has closed it, and so has its server connection.
    pub(crate) fn closed(&self) {
        self.there.set(None);
    }

    /// The parameter types that are in force for an execution with this payload: its own, or those of the last
    /// execution that had some.
    ///
    /// # Errors
    /// The client is blamed for a body that is cut.
    pub(crate) fn types(
        &self,
        payload: &[u8],
        capabilities: Capabilities,
    ) -> Result<Rc<[u8]>, Error> {
        let own = match payload.first() {
            Some(&code::STMT_EXECUTE) => {
                Execute::parse(payload)?
                    .parameters(self.parameters, capabilities)?
                    .types
            }
            Some(&code::STMT_BULK_EXECUTE) => {
                BulkExecute::parse(payload)?.types(self.parameters)?
            }
            _ => None,
        };
        let mut known = self.types.borrow_mut();
        if let Some(own) = own
            && known.as_ref() != own.raw
        {
            *known = own.raw.into();
        }
        Ok(known.clone())
    }

    /// Writes the payload for the server: its statement id, and the parameter types where this connection does not have
    /// them.
    ///
    /// # Errors
    /// The client is blamed for a body that is cut.
    pub(crate) fn rewrite(
        &self,
        payload: &[u8],
        types: Option<&Rc<[u8]>>,
        there: There,
        capabilities: Capabilities,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let types = types.filter(|types| !types.is_empty());
        let known = types.map(|types| ParameterTypes { raw: types });
        let seen = types.is_some() && self.types_there.borrow().as_ref() == types;
        match payload.first() {
            Some(&code::STMT_EXECUTE) if !seen && known.is_some() => {
                let execute = Execute::parse(payload)?;
                let parameters = execute.parameters(self.parameters, capabilities)?;
                execute.write_after_prepare(out, there.id, &parameters, known)?;
            }
            Some(&code::STMT_BULK_EXECUTE) if known.is_some() => {
                BulkExecute::parse(payload)?.write_after_prepare(out, there.id, known)?;
            }
            _ => {
                let begin = out.len();
                out.extend_from_slice(payload);
                put_id(out.get_mut(begin..).unwrap_or_default(), there.id);
                return Ok(());
            }
        }
        self.types_there.replace(types.cloned());
        Ok(())
    }
}

/// Puts a statement id behind the command byte.
fn put_id(payload: &mut [u8], id: u32) {
    if let Some(place) = payload.get_mut(1..5) {
        place.copy_from_slice(&id.to_le_bytes());
    }
}
