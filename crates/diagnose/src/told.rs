//! A verdict in words: for people and for machines, the same ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::causes::rule;
use crate::evidence::{Product, Server};
use crate::rule::{Setting, Step};
use crate::verdict::{Answer, Candidate, Certainty, Verdict};

/// A verdict in words.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Told {
    /// The name of the cause, or of the class of causes, or `unknown`.
    pub answer: String,
    /// How sure it is; only of a cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certainty: Option<Certainty>,
    /// What it means, in one sentence.
    pub meaning: String,
    /// What it rests on.
    pub evidence: Vec<String>,
    /// Causes that are proved as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Causes that it may have been, the likeliest first; only of what is not one cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// What would decide between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// What to do, in this order: about the answer, else about the likeliest candidate.
    pub fix: Vec<ToldStep>,
}

/// A step of a fix.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ToldStep {
    /// What to do, in people's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The statement, by the server's name: `mariadb`, `mysql`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sql: BTreeMap<String, String>,
    /// The line for the option file, below `[mysqld]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub option: BTreeMap<String, String>,
}

/// Candidates that are worth telling.
const MAX_CANDIDATES: usize = 6;

impl Verdict {
    /// In words, for this server, or for all where it is not known.
    pub fn told(&self, server: Option<Server>) -> Told {
        let (certainty, meaning) = match self.answer {
            Answer::Cause(cause, certainty) => (Some(certainty), rule(cause).meaning),
            Answer::Class(class) => (None, class.meaning),
            Answer::Unknown => (None, "What was seen does not tell why."),
        };
        let mut candidates = self.candidates.clone();
        if certainty.is_some() {
            candidates.clear();
        }
        candidates.truncate(MAX_CANDIDATES);
        Told {
            answer: self.answer.name().to_owned(),
            certainty,
            meaning: meaning.to_owned(),
            evidence: self.evidence.clone(),
            also: self
                .also
                .iter()
                .map(|cause| cause.name().to_owned())
                .collect(),
            candidates,
            question: self.question.map(str::to_owned),
            fix: self.fix.iter().map(|step| step.told(server)).collect(),
        }
    }
}

impl Step {
    /// In words, for this server, or for all.
    pub(crate) fn told(&self, server: Option<Server>) -> ToldStep {
        let meant = [(Product::MariaDb, "mariadb"), (Product::MySql, "mysql")]
            .into_iter()
            .filter_map(|(product, name)| match server {
                None => Some((
                    Server {
                        product,
                        version: 0,
                    },
                    name,
                )),
                Some(server) => (server.product == product).then_some((server, name)),
            });
        let mut told = ToldStep::default();
        match self {
            Self::Do(text) => told.text = Some(text.clone()),
            Self::Set(setting) => {
                for (server, name) in meant {
                    if let Some(sql) = setting.sql(server) {
                        told.sql.insert(name.to_owned(), sql);
                    }
                    if let Some(line) = setting.option_line(server.product) {
                        told.option.insert(name.to_owned(), line);
                    }
                }
            }
            Self::Sql { mariadb, mysql } => {
                for (server, name) in meant {
                    let sql = match server.product {
                        Product::MariaDb => mariadb,
                        Product::MySql => mysql,
                    };
                    let sql = if Setting::persists(server) {
                        (*sql).to_owned()
                    } else {
                        sql.replace("SET PERSIST ", "SET GLOBAL ")
                    };
                    if !sql.is_empty() {
                        told.sql.insert(name.to_owned(), sql);
                    }
                }
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Evidence, diagnose};

    #[test]
    fn what_was_written_is_read_again() {
        let told = diagnose(&Evidence::default()).told(None);
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<Told>(&text).unwrap(), told);
    }

    #[test]
    fn nothing_known_is_unknown_with_a_question() {
        let told = diagnose(&Evidence::default()).told(None);
        assert_eq!(told.answer, "unknown");
        assert_eq!(told.candidates.len(), MAX_CANDIDATES);
        assert!(told.question.is_some());
        let setting = told
            .fix
            .iter()
            .find(|step| !step.sql.is_empty())
            .expect("a setting is a part of the fix");
        assert_eq!(setting.sql["mariadb"], "SET GLOBAL wait_timeout = 28800;");
        assert_eq!(setting.sql["mysql"], "SET PERSIST wait_timeout = 28800;");
        assert_eq!(setting.option["mysql"], "wait_timeout = 28800");
    }

    #[test]
    fn only_mysql_8_and_later_is_told_to_persist() {
        let set = Setting::live("wait_timeout", 28_800);
        let sql = Step::Sql {
            mariadb: "",
            mysql: "SET PERSIST wait_timeout = 28800;",
        };
        for (version, expected) in [
            (50_744, "SET GLOBAL wait_timeout = 28800;"),
            (80_011, "SET PERSIST wait_timeout = 28800;"),
            (90_704, "SET PERSIST wait_timeout = 28800;"),
            (0, "SET PERSIST wait_timeout = 28800;"),
        ] {
            let server = Server {
                product: Product::MySql,
                version,
            };
            for step in [&set, &sql] {
                assert_eq!(step.told(Some(server)).sql["mysql"], expected, "{version}");
            }
            let verdict = diagnose(&Evidence {
                server: Some(server),
                ..Evidence::default()
            });
            let told = verdict.told(Some(server));
            let statements: Vec<&String> =
                told.fix.iter().flat_map(|step| step.sql.values()).collect();
            assert!(!statements.is_empty());
            let persists = statements.iter().any(|sql| sql.contains("PERSIST"));
            assert_eq!(persists, version != 50_744, "{statements:?}");
        }
    }
}
