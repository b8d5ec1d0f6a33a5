//! Runs SQL on a SQLite database, for the demo and the scripts, so that they need no SQLite shell on the machine.
//!
//! ```text
//! sql FILE STATEMENTS         runs all statements, prints the rows of each, columns separated by tabs
//! sql :memory: QUERY <FILE    a query with a parameter ?1 gets all of standard input in it, such as JSON
//! ```

use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Batch, Connection, Statement};

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sql: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<()> {
    let [file, statements] = arguments.as_slice() else { bail!("usage: sql FILE STATEMENTS") };
    let database = Connection::open(file).with_context(|| file.clone())?;
    let mut batch = Batch::new(&database, statements);
    while let Some(mut statement) = batch.next()? {
        rows(&mut statement)?;
    }
    Ok(())
}

fn rows(statement: &mut Statement<'_>) -> Result<()> {
    let columns = statement.column_count();
    let parameters = match statement.parameter_count() {
        0 => Vec::new(),
        1 => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("standard input")?;
            vec![Value::Text(text)]
        }
        several => bail!("{several} parameters, and standard input is only one"),
    };
    let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
    let mut out = std::io::stdout().lock();
    while let Some(row) = rows.next()? {
        let cells: Vec<String> = (0..columns).map(|index| row.get_ref(index).map(text)).collect::<Result<_, _>>()?;
        writeln!(out, "{}", cells.join("\t"))?;
    }
    Ok(())
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}
