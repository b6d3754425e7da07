//! `docs/causes.md`: one page of all causes, made from the rules.

use std::fmt::Write;

use crate::cause::{Cause, Class};
use crate::causes::rule;
use crate::evidence::{Evidence, Product, Server};
use crate::rule::{Setting, Sign, Step};

/// The page, in Markdown.
pub fn page() -> String {
    let mut page = String::from(HEAD);
    page.push_str("\n## The causes\n\n| Cause | What happened |\n|---|---|\n");
    for cause in Cause::ALL {
        line(
            &mut page,
            &format!("| [`{cause}`](#{cause}) | {} |", rule(cause).meaning),
        );
    }
    for cause in Cause::ALL {
        one(&mut page, cause);
    }
    page.push_str(CLASSES);
    for class in Class::ALL {
        let members: Vec<String> = class
            .members
            .iter()
            .map(|cause| format!("[`{cause}`](#{cause})"))
            .collect();
        line(
            &mut page,
            &format!(
                "| `{}` | {} | {} |",
                class.name,
                class.meaning,
                members.join(", ")
            ),
        );
    }
    page
}

const HEAD: &str = "\
# Why connections are lost

`ERROR 2013 (HY000): Lost connection to MySQL server during query`, `MySQL server has gone away`, `Communications link
failure`, `invalid connection`, `read ECONNRESET`: what a client says tells *that* its connection ended, hardly ever *why*.
Most of the causes below can be behind each of these, and the usual advice, to raise timeouts and buffers, is often wrong.

This page is made from the rules by which `steadfast why` decides, sentence by sentence. A cause is the answer when one of
its proofs is seen and nothing refutes it. What neither is proved nor refuted is named together: by a class, if there is
one, else as `unknown` with the likeliest candidates and the question whose answer would decide. Beside what is listed, a server
that was restarted refutes each cause that cannot end one, and a line of the error log that names another reason for this
very connection's end refutes all that it does not fit.

Two things to know before reading logs:

- MySQL at its default `log_error_verbosity` = 2 writes nothing about most lost connections: 3 does. MariaDB writes most
  of them at its default `log_warnings` = 2, and KILL at 4. That a log says nothing is no evidence unless it would have.
- MariaDB's timeouts end a connection with RST, MySQL's with FIN; KILL, a shutdown and the end of the process are FIN on
  both (measured: MariaDB 10.11 and 11.8, MySQL 9.7).

MySQL before 8.0 has no SET PERSIST: there it is SET GLOBAL, and the line for the option file.
";

const CLASSES: &str = "
## Where causes look alike

With less evidence some causes cannot be told apart. Then the answer is one of these, the smallest that fits.

| Class | What they have in common | Causes |
|---|---|---|
";

fn one(page: &mut String, cause: Cause) {
    let rule = rule(cause);
    line(page, &format!("\n## {cause}\n\n{}\n", rule.meaning));
    signs(page, "Proved when", rule.proofs);
    signs(page, "Refuted when", rule.refutations);
    signs(page, "Likelier when", rule.hints);
    line(page, &format!("**To ask:** {}\n", rule.question));
    line(page, "**Fix:**\n");
    for step in (rule.fix)(&Evidence::default()) {
        fix(page, &step);
    }
}

fn signs(page: &mut String, title: &str, signs: &[Sign]) {
    if signs.is_empty() {
        return;
    }
    line(page, &format!("**{title}:**\n"));
    for sign in signs {
        line(page, &format!("- {};", sign.what));
    }
    // The last one ends the sentence.
    page.truncate(page.len() - ";\n".len());
    page.push_str(".\n\n");
}

/// A step of a fix, as a line of a list.
pub(crate) fn fix(page: &mut String, step: &Step) {
    match step {
        Step::Do(text) => line(page, &format!("- {text}")),
        Step::Set(setting) => {
            let statements: Vec<String> = [Product::MariaDb, Product::MySql]
                .into_iter()
                .filter_map(|product| {
                    let server = Server {
                        product,
                        version: 0,
                    };
                    let since = if Setting::persists(server) {
                        " 8.0 and later"
                    } else {
                        ""
                    };
                    let name = product.name();
                    Some(format!("`{}` ({name}{since})", setting.sql(server)?))
                })
                .collect();
            let lines = [Product::MariaDb, Product::MySql]
                .into_iter()
                .find_map(|product| setting.option_line(product))
                .unwrap_or_default();
            let mut text = format!("- `{lines}` below `[mysqld]`");
            if statements.is_empty() {
                text.push_str(", and a restart");
            } else {
                let _ = write!(text, "; at once: {}", statements.join(", "));
            }
            line(page, &text);
        }
        Step::Sql { mariadb, mysql } if mariadb == mysql => line(page, &format!("- `{mariadb}`")),
        Step::Sql { mariadb, mysql } => {
            for (product, sql) in [(Product::MariaDb, mariadb), (Product::MySql, mysql)] {
                if !sql.is_empty() {
                    line(page, &format!("- {}: `{sql}`", product.name()));
                }
            }
        }
    }
}

fn line(page: &mut String, text: &str) {
    page.push_str(text);
    page.push('\n');
}
