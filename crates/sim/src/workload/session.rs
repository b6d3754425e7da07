//! What a session is set to, and whether it still is.

use super::*;

impl Worker {
    /// SETs something, or looks whether all is as it was set.
    pub(super) async fn change_session(&mut self) -> Result<(), Stop> {
        let mut expected = self.session.clone();
        let text = match self.random.below(8) {
            0 | 1 => {
                let value = self.random.below(1000).cast_signed();
                expected.variable = Some(value);
                format!("SET @v = {value}")
            }
            2 | 3 => {
                expected.time_zone = self.random.pick(&["+01:00", "+02:00", "SYSTEM"]);
                format!("SET time_zone = '{}'", expected.time_zone)
            }
            4 => {
                expected.lock_wait = self.random.pick(&[2, 5, 50]);
                format!("SET innodb_lock_wait_timeout = {}", expected.lock_wait)
            }
            _ => return self.look_at_session().await,
        };
        match self.run(&text, &[]).await? {
            Reply::Ok { .. } => self.session = expected,
            error => {
                self.judge(&error, &text);
            }
        }
        Ok(())
    }

    pub(super) async fn look_at_session(&mut self) -> Result<(), Stop> {
        let session = &self.session;
        let expected = vec![vec![
            session.variable.map(|value| value.to_string()),
            Some(session.time_zone.to_owned()),
            Some(session.lock_wait.to_string()),
            Some(u8::from(session.autocommit).to_string()),
        ]];
        match self.run(ASK, &[]).await? {
            Reply::Rows(rows) if rows == expected => Ok(()),
            Reply::Rows(rows) => {
                self.wrong(format!("the session is {rows:?} and not {expected:?}"));
                Ok(())
            }
            error => Err(Stop::Ended(self.judge(&error, ASK))),
        }
    }
}
