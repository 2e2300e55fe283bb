//! When a server is believed to have finished.

use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use recovery_core::port::{Gateway, InferenceServer, OnProgress, PullError, Remaining, ServerError};
use recovery_inference::lifecycle::{Drain, Left, Timing};
use tokio::time::Instant;

/// Says one thing after another, and the last one for ever: `0`, a number, `?` for something, `x` for nothing that
/// listens, `-` for a status 500.
struct Says(Mutex<Vec<char>>);

impl Says {
    fn new(words: &str) -> Self {
        Self(Mutex::new(words.chars().rev().collect()))
    }

    fn next(&self) -> char {
        let mut words = self.0.lock().unwrap();
        if words.len() > 1 { words.pop().unwrap() } else { words[0] }
    }
}

#[async_trait]
impl InferenceServer for Says {
    async fn health(&self) -> Result<(), ServerError> {
        Ok(())
    }

    async fn ready(&self) -> Result<Option<String>, ServerError> {
        Ok(None)
    }

    async fn remaining(&self) -> Result<Remaining, ServerError> {
        match self.next() {
            '0' => Ok(Remaining::Nothing),
            '?' => Ok(Remaining::Something),
            'x' => Err(ServerError::Closed { source: "refused".into() }),
            '-' => Err(ServerError::Status { status: 500 }),
            number => Ok(Remaining::Requests(u64::from(number.to_digit(10).unwrap()))),
        }
    }

    async fn tokens(&self) -> Result<Option<u64>, ServerError> {
        Ok(None)
    }

    async fn models(&self) -> Result<Vec<String>, ServerError> {
        Ok(Vec::new())
    }

    async fn pull(&self, _model: &str, _progress: OnProgress<'_>) -> Result<(), PullError> {
        Err(PullError::Unsupported)
    }
}

#[async_trait]
impl Gateway for Says {
    async fn in_flight(&self) -> Result<u64, ServerError> {
        match self.next() {
            '-' => Err(ServerError::Status { status: 500 }),
            number => Ok(u64::from(number.to_digit(10).unwrap())),
        }
    }
}

/// What is left, and how many times the server was asked, when each says this.
async fn check(server: &str, gateway: &str, expect: Left, asked: u32) {
    let (server, gateway) = (Says::new(server), Says::new(gateway));
    let timing = Timing::default();
    let since = Instant::now();
    let drain = Drain { server: &server, gateway: &gateway, timing, since, deadline: Duration::from_secs(5) };
    assert_eq!(drain.wait(&|_| {}).await, expect);
    assert_eq!(since.elapsed(), timing.settled() + timing.poll * (asked - 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_believed_when_it_was_said_three_times_in_a_row() {
    check("000", "9", Left::Nothing, 3).await;
    check("001002000", "9", Left::Nothing, 9).await;
    check("x0x", "9", Left::Nothing, 3).await;
    check("00-000", "9", Left::Nothing, 6).await;
}

#[tokio::test(start_paused = true)]
async fn where_it_cannot_tell_the_gateway_is_the_witness() {
    check("?", "3320", Left::Nothing, 4).await;
    check("-", "0", Left::Nothing, 1).await;
    // Its count is of all servers: what the server says itself goes before.
    check("1000", "0", Left::Nothing, 4).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_when_the_time_is_over_is_never_said_to_be_nothing() {
    check("7", "0", Left::Requests(7), 11).await;
    check("?", "4", Left::Requests(4), 11).await;
    check("-", "-", Left::Unknown, 11).await;
}
