//! The figures of the pipeline's business rules, each with its reason; accounts and the catalogue bring the others.

/// All amounts are in cents of this currency: nothing here converts.
pub const CURRENCY: &str = "USD";

/// An order of more units is a mistake; the largest of the CDNOW log has 99.
pub const MAX_ORDER_UNITS: i32 = 10_000;

/// What one customer may get set aside on one day: the shop serves listeners, not dealers.
pub const DAILY_ALLOTMENT_UNITS: i32 = 12;

/// What fits into one parcel.
pub const MAX_PARCEL_UNITS: i32 = 10;

/// Each customer is served from one of these, so that nothing has to be counted across them.
pub const WAREHOUSES: [&str; 3] = ["east", "central", "west"];

/// Who gets the mails of orders whose customer has no account, and with it no address.
pub const CUSTOMER_SERVICE: &str = "customer-service@example.org";

/// The sender of every mail.
pub const MAIL_SENDER: &str = "orders@example.org";
