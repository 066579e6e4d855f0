//! Table-table join: a customer's profile and account become one overview, whichever of the two changes.
//!
//! Each side keeps its own table, reads the other's row and emits what both make together. A left join has a row for each
//! profile, an inner join for each profile that has an account; what has no row any more gets a tombstone.

use unchain::process::{Either, Entry, Key, Processor, Row, Tombstone};

use crate::contracts::{Account, AccountRow, Overview, Profile, ProfileRow};

type Joined = Either<Overview, Tombstone<Overview>>;

/// Which profiles have an overview.
pub trait Join: 'static {
    fn has_row(account: Option<&AccountRow>) -> bool;
}

/// All of them.
pub struct Left;

/// Those with an account.
pub struct Inner;

impl Join for Left {
    fn has_row(_: Option<&AccountRow>) -> bool {
        true
    }
}

impl Join for Inner {
    fn has_row(account: Option<&AccountRow>) -> bool {
        account.is_some()
    }
}

async fn profile<J: Join>(
    changed: Option<Profile>,
    Key(customer): Key,
    mut profile: Entry<ProfileRow>,
    account: Row<AccountRow>,
) -> Joined {
    match changed {
        Some(Profile { customer, name }) => profile.set(ProfileRow { customer, name }),
        None => profile.delete(),
    }
    join::<J>(customer, profile.get(), account.get())
}

async fn account<J: Join>(
    changed: Option<Account>,
    Key(customer): Key,
    mut account: Entry<AccountRow>,
    profile: Row<ProfileRow>,
) -> Joined {
    match changed {
        Some(Account { customer, cents }) => account.set(AccountRow { customer, cents }),
        None => account.delete(),
    }
    join::<J>(customer, profile.get(), account.get())
}

fn join<J: Join>(customer: String, profile: Option<&ProfileRow>, account: Option<&AccountRow>) -> Joined {
    match profile {
        Some(profile) if J::has_row(account) => {
            Either::Left(Overview { customer, name: profile.name.clone(), cents: account.map(|row| row.cents) })
        }
        _ => Either::Right(Tombstone::of(customer)),
    }
}

pub fn processor<J: Join>(name: &'static str) -> Processor {
    Processor::new(name).doc("Joins profiles and accounts.").handle(profile::<J>).handle(account::<J>)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use unchain_testkit::Driver;

    use super::*;

    #[derive(Clone, Copy)]
    enum Change {
        Name(&'static str),
        Cents(i64),
        NoProfile,
        NoAccount,
    }

    /// What a reader of the overviews knows of customer c-1 in the end.
    fn overview<J: Join>(changes: &[Change]) -> Option<(String, Option<i64>)> {
        let mut test = Driver::new(processor::<J>("overview"));
        let customer = || "c-1".to_owned();
        for change in changes {
            match *change {
                Change::Name(name) => test.send(&Profile { customer: customer(), name: name.to_owned() }),
                Change::Cents(cents) => test.send(&Account { customer: customer(), cents }),
                Change::NoProfile => test.send_tombstone::<Profile>("c-1"),
                Change::NoAccount => test.send_tombstone::<Account>("c-1"),
            };
        }
        let known: BTreeMap<_, _> = test.keyed_outputs::<Overview>().into_iter().collect();
        known["c-1"].clone().map(|row| (row.name, row.cents))
    }

    use Change::{Cents, Name, NoAccount, NoProfile};

    #[test]
    fn the_order_in_which_the_sides_come_makes_no_difference() {
        let expected = Some(("Ada".to_owned(), Some(5)));
        for changes in [[Name("Ada"), Cents(5)], [Cents(5), Name("Ada")]] {
            assert_eq!((overview::<Inner>(&changes), overview::<Left>(&changes)), (expected.clone(), expected.clone()));
        }
    }

    #[test]
    fn a_side_that_is_missing_or_deleted_is_missing_in_the_result() {
        let no_account = Some(("Ada".to_owned(), None));
        for changes in [&[Name("Ada")][..], &[Name("Ada"), Cents(5), NoAccount], &[Cents(5), NoAccount, Name("Ada")]] {
            assert_eq!((overview::<Inner>(changes), overview::<Left>(changes)), (None, no_account.clone()));
        }
        for changes in [&[Cents(5)][..], &[Name("Ada"), Cents(5), NoProfile], &[Name("Ada"), NoProfile, Cents(5)]] {
            assert_eq!((overview::<Inner>(changes), overview::<Left>(changes)), (None, None));
        }
    }

    #[test]
    fn the_last_change_of_each_side_counts() {
        let changes = [Name("Ada"), Cents(5), NoAccount, Cents(6), Name("Grace")];
        assert_eq!(overview::<Inner>(&changes), Some(("Grace".to_owned(), Some(6))));
    }
}
