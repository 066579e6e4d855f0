//! E-mail: tells the customer how the order ended, once an order.
//!
//! A record may be handled again after a crash; the mailer recognises the order id, see [`crate::mail`].

use std::sync::Arc;

use unchain::process::{Failure, Lookup, Processor, State};
use unchain_schemas::{Account, EmailSent, OrderRejected, OrderShipped};

use crate::mail::{Mail, Mailer};
use crate::rules::CUSTOMER_SERVICE;

pub fn processor(mailer: Arc<dyn Mailer>) -> Processor {
    Processor::new("email")
        .doc("Writes to the customer once an order is shipped or rejected.")
        .handle(tell_shipped)
        .handle(tell_rejected)
        .state(mailer)
}

async fn tell_shipped(
    order: OrderShipped,
    accounts: Lookup<Account>,
    State(mailer): State<Arc<dyn Mailer>>,
) -> Result<EmailSent, Failure> {
    let recipient = recipient(accounts.get(&order.customer_id).as_deref());
    send(&*mailer, shipped_mail(&order, recipient), order.customer_id).await
}

async fn tell_rejected(
    order: OrderRejected,
    accounts: Lookup<Account>,
    State(mailer): State<Arc<dyn Mailer>>,
) -> Result<EmailSent, Failure> {
    let recipient = recipient(accounts.get(&order.customer_id).as_deref());
    send(&*mailer, rejected_mail(&order, recipient), order.customer_id).await
}

async fn send(mailer: &dyn Mailer, mail: Mail, customer_id: String) -> Result<EmailSent, Failure> {
    mailer
        .send(&mail)
        .await
        .map_err(|error| if error.is_final() { Failure::reject(error) } else { Failure::retry(error) })?;
    Ok(EmailSent { order_id: mail.order_id, customer_id, recipient: mail.recipient, subject: mail.subject })
}

fn recipient(account: Option<&Account>) -> String {
    account.map_or_else(|| CUSTOMER_SERVICE.to_owned(), |account| account.email.clone())
}

fn shipped_mail(order: &OrderShipped, recipient: String) -> Mail {
    let parcels = if order.parcels == 1 { "1 parcel".to_owned() } else { format!("{} parcels", order.parcels) };
    Mail {
        order_id: order.order_id.clone(),
        recipient,
        subject: format!("Your order {} is on its way", order.order_id),
        body: format!("{} units for {} have left in {parcels}.\n", order.units, dollars(order.amount_cents)),
        written_on: order.placed_on,
    }
}

fn rejected_mail(order: &OrderRejected, recipient: String) -> Mail {
    Mail {
        order_id: order.order_id.clone(),
        recipient,
        subject: format!("Your order {} was not accepted", order.order_id),
        body: format!("{} units for {} are not sent: {}.\n", order.units, dollars(order.amount_cents), order.reason),
        written_on: order.placed_on,
    }
}

fn dollars(cents: i64) -> String {
    let (sign, cents) = (if cents < 0 { "-" } else { "" }, cents.unsigned_abs());
    format!("{sign}{}.{:02} USD", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use unchain_schemas::RejectedBy;

    use super::*;

    #[test]
    fn a_shipped_orders_mail_says_what_left() {
        let order = OrderShipped {
            order_id: "00001-001".into(),
            customer_id: "00001".into(),
            placed_on: 9_862,
            units: 11,
            amount_cents: 12_005,
            parcels: 2,
        };
        let mail = shipped_mail(&order, "a@example.org".into());
        assert_eq!(mail.subject, "Your order 00001-001 is on its way");
        assert_eq!(mail.body, "11 units for 120.05 USD have left in 2 parcels.\n");
    }

    #[test]
    fn a_rejected_orders_mail_says_why_and_goes_to_customer_service_where_there_is_no_account() {
        let order = OrderRejected {
            order_id: "00001-001".into(),
            customer_id: "00001".into(),
            placed_on: 9_862,
            units: 1,
            amount_cents: 0,
            stage: RejectedBy::Verification,
            reason: "the customer has no account".into(),
        };
        let mail = rejected_mail(&order, recipient(None));
        assert_eq!(mail.recipient, CUSTOMER_SERVICE);
        assert_eq!(mail.body, "1 units for 0.00 USD are not sent: the customer has no account.\n");
    }
}
