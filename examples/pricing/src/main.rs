//! Prices orders.
use unchain::{app::App, process::Processor};

unchain::contracts!();

async fn price(order: Order) -> Priced {
    Priced { order_id: order.order_id, cents: i64::from(order.quantity) * 1_499 }
}

fn main() -> std::process::ExitCode {
    App::new("pricing").processors([Processor::new("pricing").handle(price)]).topics(TOPICS).main()
}
