//! Turns an async function into a handler: decodes its input, extracts its arguments, polls it, emits what it returns.

use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{self, Poll, Waker};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::{Context, Declaration, Emissions, Extract, Failed, Failure, FailureClass, IntoOutputs, Outputs};
use crate::contract::{Contract, Topic};

/// What a handler takes first: a contract's value, or an `Option` of it where tombstones are handled as well.
pub trait Input: Sized + 'static {
    type Contract: Contract;

    /// `None` where the handler has no use for what the record carries: a tombstone.
    fn of(value: Option<Self::Contract>) -> Option<Self>;
}

impl<C: Contract> Input for C {
    type Contract = C;

    fn of(value: Option<C>) -> Option<C> {
        value
    }
}

impl<C: Contract> Input for Option<C> {
    type Contract = C;

    fn of(value: Option<C>) -> Option<Option<C>> {
        Some(value)
    }
}

/// An async function from a contract's value and extractors to outputs.
pub trait Handler<Arguments>: Clone + Send + Sync + 'static {
    type Input: Input;
    type Output: IntoOutputs;
    type Future: Future<Output = Self::Output> + 'static;

    fn declare(declaration: &mut Declaration);

    /// Extracts the arguments and calls the function; nothing runs until the future is polled.
    fn call(&self, input: Self::Input, context: &mut Context<'_>) -> Result<Self::Future, Failure>;
}

macro_rules! handler {
    ($($argument:ident)*) => {
        impl<F, Fut, In, $($argument,)*> Handler<(In, $($argument,)*)> for F
        where
            F: Fn(In, $($argument),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future + 'static,
            Fut::Output: IntoOutputs,
            In: Input,
            $($argument: Extract,)*
        {
            type Input = In;
            type Output = Fut::Output;
            type Future = Fut;

            fn declare(declaration: &mut Declaration) {
                declaration.input::<In::Contract>();
                $($argument::declare(declaration);)*
                Fut::Output::declare(declaration);
            }

            #[allow(unused_variables, reason = "a handler of the value alone extracts nothing")]
            fn call(&self, input: In, context: &mut Context<'_>) -> Result<Fut, Failure> {
                Ok(self(input, $($argument::extract(context)?),*))
            }
        }
    };
}

handler!();
handler!(A);
handler!(A B);
handler!(A B C);
handler!(A B C D);

/// Emits what a handler returned, once its future is done.
pub type Deferred = Box<dyn FnOnce(&mut Outputs<'_>) -> Result<(), Failure>>;

/// How a call began.
pub enum Started {
    /// It completed at its first poll; the outputs are emitted.
    Done(Result<(), Failure>),
    /// It waits for something.
    Pending(LocalBoxFuture<'static, Result<Deferred, Failed>>),
    /// It cannot succeed, whoever tries.
    Failed(Failed),
}

/// A handler whose types are forgotten; one instance a worker.
pub trait AnyHandler {
    fn input(&self) -> &'static Topic;

    /// Begins the handling of one record. Outputs of a call that completes at once go to `emissions`.
    fn start(&mut self, context: &mut Context<'_>, emissions: &mut Emissions) -> Started;
}

pub(crate) struct TypedHandler<H, Arguments>
where
    H: Handler<Arguments>,
{
    handler: H,
    input: &'static Topic,
    /// The place of the last future that completed at once: reused, so that such calls allocate nothing.
    slot: Option<Pin<Box<Option<H::Future>>>>,
    arguments: PhantomData<fn(Arguments)>,
}

impl<Arguments, H: Handler<Arguments>> TypedHandler<H, Arguments> {
    pub(crate) fn new(handler: H, input: &'static Topic) -> Self {
        TypedHandler { handler, input, slot: None, arguments: PhantomData }
    }

    fn decode(context: &mut Context<'_>) -> Result<H::Input, Started> {
        let undecodable =
            |reason: String| Started::Failed(Failed { class: FailureClass::Undecodable, reason, attempts: 0 });
        let value = match &context.record.value {
            None => None,
            Some(bytes) => Some(context.codecs.decode(bytes).map_err(|error| match error {
                // The bytes may be good: whoever knows their schema cannot be asked right now.
                error if error.is_transient() => Started::Done(Err(Failure::unavailable(error))),
                error => undecodable(error.to_string()),
            })?),
        };
        if let Some(value) = &value {
            context.observe::<ContractOf<H, Arguments>>(value);
        }
        let topic = <ContractOf<H, Arguments>>::TOPIC.name;
        H::Input::of(value).ok_or_else(|| undecodable(format!("a tombstone where topic {topic} carries events")))
    }
}

type ContractOf<H, Arguments> = <<H as Handler<Arguments>>::Input as Input>::Contract;

impl<Arguments: 'static, H: Handler<Arguments>> AnyHandler for TypedHandler<H, Arguments> {
    fn input(&self) -> &'static Topic {
        self.input
    }

    fn start(&mut self, context: &mut Context<'_>, emissions: &mut Emissions) -> Started {
        let mut place = self.slot.take().unwrap_or_else(|| Box::pin(None));
        let failed = |failure: Failure| Started::Done(Err(failure));
        // A panic leaves nothing behind but the call's own values, which are dropped. Whatever is the user's runs in here.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let input = Self::decode(context)?;
            place.set(Some(self.handler.call(input, context).map_err(failed)?));
            let future = place.as_mut().as_pin_mut().expect("the future was put there the line before");
            let Poll::Ready(output) = future.poll(&mut task::Context::from_waker(Waker::noop())) else {
                return Ok(Poll::Pending);
            };
            output.emit(&mut Outputs::new(context.codecs, emissions)).map(Poll::Ready).map_err(failed)
        }));
        match polled {
            Err(panic) => Started::Failed(panicked(&*panic)),
            Ok(Ok(Poll::Pending)) => Started::Pending(finish::<Arguments, H>(place)),
            Ok(Ok(Poll::Ready(()))) => {
                place.set(None);
                self.slot = Some(place);
                Started::Done(Ok(()))
            }
            Ok(Err(started)) => started,
        }
    }
}

fn finish<Arguments, H: Handler<Arguments>>(
    mut place: Pin<Box<Option<H::Future>>>,
) -> LocalBoxFuture<'static, Result<Deferred, Failed>> {
    let done = std::future::poll_fn(move |cx| {
        place.as_mut().as_pin_mut().expect("a pending future is still in its place").poll(cx)
    });
    let deferred = AssertUnwindSafe(done).catch_unwind().map(|result| match result {
        Ok(output) => Ok(Box::new(move |outputs: &mut Outputs<'_>| output.emit(outputs)) as Deferred),
        Err(panic) => Err(panicked(&*panic)),
    });
    deferred.boxed_local()
}

pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> Failed {
    let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
    let reason = format!("the handler panicked: {}", message.as_deref().unwrap_or("without a message"));
    Failed { class: FailureClass::Panicked, reason, attempts: 1 }
}
