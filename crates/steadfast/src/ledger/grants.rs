//! Who may use the ledger, and who may write its table.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_session::ledger::schema::{self, Flavor};

use super::accounts::{Account, account};
use super::server::Admin;

/// The server's accounts and what lets them use the ledger.
pub(super) struct Grants {
    /// Accounts that can log in.
    accounts: Vec<Account>,
    /// EXECUTE on all databases.
    everywhere: BTreeSet<Account>,
    /// EXECUTE on `steadfast.*`, or on a pattern that it fits.
    here: BTreeSet<Account>,
    /// The first of the two only.
    exactly: Vec<Account>,
    /// The roles that each account has on after its login.
    active: BTreeMap<Account, BTreeSet<Account>>,
    /// The roles that each role has.
    granted: BTreeMap<Account, BTreeSet<Account>>,
    /// Accounts besides the procedures' own that may write the ledger's table, those left out that may write
    /// everything.
    pub(super) writers: Vec<Account>,
}

impl Grants {
    /// Reads them. Needs SELECT on the database mysql.
    pub(super) async fn read(admin: &mut Admin) -> anyhow::Result<Self> {
        let mut grants = Self {
            accounts: Vec::new(),
            everywhere: BTreeSet::new(),
            here: BTreeSet::new(),
            exactly: Vec::new(),
            active: BTreeMap::new(),
            granted: BTreeMap::new(),
            writers: Vec::new(),
        };
        let mut roles = BTreeSet::new();
        match admin.flavor {
            Flavor::MariaDb => grants.read_mariadb(admin, &mut roles).await?,
            Flavor::MySql => grants.read_mysql(admin).await?,
        }
        let stored = |row: &[String]| {
            let (user, host) = (&row[0], &row[1]);
            Account::stored(user, host, roles.contains(user))
        };
        // % and _ in names of databases are wildcards in grants.
        let here = admin
            .rows(
                "SELECT User, Host, Db FROM mysql.db WHERE 'steadfast' LIKE Db AND Execute_priv = 'Y'
                 AND User <> 'steadfast_ledger' ORDER BY User, Host",
            )
            .await?;
        grants.here = here.iter().map(|row| stored(row)).collect();
        grants.exactly = here
            .iter()
            .filter(|row| row[2] == schema::DATABASE)
            .map(|row| stored(row))
            .collect();
        let writers = admin
            .rows(
                "SELECT User, Host FROM mysql.db WHERE 'steadfast' LIKE Db
                   AND 'Y' IN (Insert_priv, Update_priv, Delete_priv, Drop_priv, Trigger_priv)
                 UNION SELECT User, Host FROM mysql.tables_priv WHERE Db = 'steadfast'
                   AND CONCAT(',', Table_priv, ',') REGEXP ',(Insert|Update|Delete|Drop|Trigger),'
                   AND User <> 'steadfast_ledger'
                 ORDER BY User, Host",
            )
            .await?;
        grants.writers = writers.iter().map(|row| stored(row)).collect();
        Ok(grants)
    }

    async fn read_mariadb(
        &mut self,
        admin: &mut Admin,
        roles: &mut BTreeSet<String>,
    ) -> anyhow::Result<()> {
        let accounts = admin
            .rows(
                "SELECT g.User, g.Host, IF(JSON_VALUE(g.Priv, '$.is_role'), 'role',
                        IF(JSON_VALUE(g.Priv, '$.account_locked'), 'locked', '')),
                   u.Execute_priv, IFNULL(JSON_VALUE(g.Priv, '$.default_role'), '')
                 FROM mysql.global_priv g JOIN mysql.user u ON u.User = g.User AND u.Host = g.Host
                 ORDER BY g.User, g.Host",
            )
            .await?;
        for row in accounts {
            let [user, host, kind, execute, default_role] = row.as_slice() else {
                continue;
            };
            let account = Account::stored(user, host, kind == "role");
            match kind.as_str() {
                "role" => {
                    roles.insert(user.clone());
                }
                "" => self.accounts.push(account.clone()),
                _ => {}
            }
            if execute == "Y" {
                self.everywhere.insert(account.clone());
            }
            if !default_role.is_empty() {
                let role = Account::Role(default_role.clone());
                self.active.entry(account).or_default().insert(role);
            }
        }
        let edges = admin
            .rows("SELECT User, Host, Role FROM mysql.roles_mapping WHERE Host = ''")
            .await?;
        for row in edges {
            let role = Account::Role(row[2].clone());
            let holder = Account::stored(&row[0], &row[1], true);
            self.granted.entry(holder).or_default().insert(role);
        }
        Ok(())
    }

    async fn read_mysql(&mut self, admin: &mut Admin) -> anyhow::Result<()> {
        let accounts = admin
            .rows("SELECT User, Host, account_locked, Execute_priv FROM mysql.user ORDER BY User, Host")
            .await?;
        for row in accounts {
            let account = Account::stored(&row[0], &row[1], false);
            if row[2] == "N" {
                self.accounts.push(account.clone());
            }
            if row[3] == "Y" {
                self.everywhere.insert(account);
            }
        }
        let edges = admin
            .rows("SELECT TO_USER, TO_HOST, FROM_USER, FROM_HOST FROM mysql.role_edges")
            .await?;
        for row in edges {
            let role = Account::stored(&row[2], &row[3], false);
            let holder = Account::stored(&row[0], &row[1], false);
            self.granted.entry(holder).or_default().insert(role);
        }
        let settings = admin
            .rows("SELECT @@GLOBAL.activate_all_roles_on_login, @@GLOBAL.mandatory_roles")
            .await?;
        let (all_active, mandatory) = match settings.first() {
            Some(row) => (row[0] == "1", row[1].clone()),
            None => (false, String::new()),
        };
        if all_active {
            self.active.clone_from(&self.granted);
            let mandatory: BTreeSet<Account> = mandatory
                .split(',')
                .filter_map(|name| account(name.trim()).ok())
                .collect();
            for account in &self.accounts {
                let active = self.active.entry(account.clone()).or_default();
                active.extend(mandatory.iter().cloned());
            }
        } else {
            let defaults = admin
                .rows("SELECT USER, HOST, DEFAULT_ROLE_USER, DEFAULT_ROLE_HOST FROM mysql.default_roles")
                .await?;
            for row in defaults {
                let role = Account::stored(&row[2], &row[3], false);
                let holder = Account::stored(&row[0], &row[1], false);
                self.active.entry(holder).or_default().insert(role);
            }
        }
        Ok(())
    }

    /// From whom the use of the ledger can be taken back: accounts, roles, everybody.
    pub(super) fn removable(&self) -> &[Account] {
        &self.exactly
    }

    /// Whether it may be used by whoever can log in, now or later.
    pub(super) fn includes_everybody(&self) -> bool {
        self.here.contains(&Account::Public)
    }

    /// Who can log in and use it, by whatever right.
    pub(super) fn allowed(&self) -> Vec<Account> {
        self.logins(true)
    }

    /// Who can log in and cannot use it.
    pub(super) fn without(&self) -> Vec<Account> {
        self.logins(false)
    }

    fn logins(&self, allowed: bool) -> Vec<Account> {
        let fits = |account: &&Account| self.may(account) == allowed;
        self.accounts.iter().filter(fits).cloned().collect()
    }

    fn may(&self, account: &Account) -> bool {
        let executes = |one: &Account| self.everywhere.contains(one) || self.here.contains(one);
        if executes(account) || executes(&Account::Public) {
            return true;
        }
        let mut seen = BTreeSet::new();
        let mut ahead: Vec<&Account> = self.active.get(account).into_iter().flatten().collect();
        while let Some(role) = ahead.pop() {
            if executes(role) {
                return true;
            }
            if seen.insert(role) {
                ahead.extend(self.granted.get(role).into_iter().flatten());
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str) -> Account {
        account(name).unwrap()
    }

    #[test]
    fn a_right_counts_if_it_is_there_after_the_login() {
        let mut grants = Grants {
            accounts: ["direct", "root", "by_role", "role_off", "none"]
                .map(one)
                .to_vec(),
            everywhere: BTreeSet::from([one("root")]),
            here: BTreeSet::from([one("direct"), one("inner")]),
            exactly: Vec::new(),
            active: BTreeMap::from([(one("by_role"), BTreeSet::from([one("outer")]))]),
            // A circle is possible on MySQL.
            granted: BTreeMap::from([
                (one("role_off"), BTreeSet::from([one("outer")])),
                (one("outer"), BTreeSet::from([one("outer"), one("inner")])),
            ]),
            writers: Vec::new(),
        };
        assert_eq!(grants.without(), ["role_off", "none"].map(one));
        assert_eq!(grants.allowed(), ["direct", "root", "by_role"].map(one));
        grants.here.insert(Account::Public);
        assert_eq!(grants.without(), []);
    }
}
