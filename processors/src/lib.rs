//! The order pipeline: one file a processor, their rules' figures in [`rules`], mails by [`mail`].
//!
//! A decision is a plain function of the order and its own key's state; the handler around it only fetches and wraps.
//! So no outcome depends on how the orders of different customers interleave.

pub mod calendar;
pub mod email;
pub mod inventory;
pub mod mail;
pub mod payment;
pub mod revenue;
pub mod rules;
pub mod shipping;
pub mod verification;

use mail::EmailConfig;
use unchain::process::Processor;

/// What the pipeline is configured with.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub email: EmailConfig,
}

/// The processors, in the order in which an order passes them.
pub fn processors(config: &Config) -> Vec<Processor> {
    vec![
        verification::processor(),
        payment::processor(),
        inventory::processor(),
        shipping::processor(),
        email::processor(config.email.mailer()),
        revenue::processor(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_processor_is_declared_without_contradiction() {
        let processors = processors(&Config::default());
        let names: Vec<_> = processors.iter().map(Processor::name).collect();
        assert_eq!(names, ["verification", "payment", "inventory", "shipping", "email", "revenue"]);
        for processor in &processors {
            assert_eq!(processor.check(), Ok(()), "{}", processor.name());
            assert!(!processor.description().is_empty(), "{} has no sentence", processor.name());
        }
    }
}
