//! Session windows: page views without a pause of more than half an hour are one visit.

use unchain::process::window::minutes;
use unchain::process::{Processor, Session, Windows};

use crate::contracts::{PageView, Visit};

async fn follow(view: PageView, mut visits: Windows<Visit>) {
    visits.update(|_, before| {
        let pages = before.map_or(0, |visit| visit.pages);
        Visit { visitor: view.visitor.clone(), pages: pages + 1, last_page: view.page.clone() }
    });
}

/// A view between two visits shows that they were one.
fn merge(earlier: Visit, later: Visit) -> Visit {
    Visit { pages: earlier.pages + later.pages, ..later }
}

pub fn processor() -> Processor {
    let visits = Session::of(minutes(30), merge).grace(minutes(30));
    Processor::new("visits").doc("Puts page views together to visits.").handle(follow).window::<Visit>(visits)
}

#[cfg(test)]
mod tests {
    use unchain_testkit::Driver;

    use super::*;

    fn view(page: &str) -> PageView {
        PageView { visitor: "v-1".into(), page: page.into() }
    }

    #[test]
    fn a_view_that_comes_late_joins_two_visits() {
        let mut test = Driver::new(processor());
        test.at("1997-01-01T09:00:00Z").send(&view("home")).at("1997-01-01T09:50:00Z").send(&view("cart"));
        assert_eq!(test.windows::<Visit>().len(), 2);
        test.at("1997-01-01T09:25:00Z").send(&view("search"));
        let visits = test.windows::<Visit>();
        assert_eq!(visits.len(), 1);
        let (visitor, time, visit) = &visits[0];
        assert_eq!((visitor.as_str(), time.end_ms - time.start_ms, visit.pages), ("v-1", 50 * 60_000, 3));
    }
}
