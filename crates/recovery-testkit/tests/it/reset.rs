//! The fake of a database that is reset passes the suite of its port.

use async_trait::async_trait;
use recovery_core::{port::ResetDatabase, schema::TableName};
use recovery_testkit::{
    FakeTables, SampleRow, SampleTable,
    contract::{self, ResetFixture},
};

struct Tables(FakeTables);

#[async_trait]
impl ResetFixture for Tables {
    fn database(&self) -> &dyn ResetDatabase {
        &self.0
    }

    async fn create(&self, tables: &[SampleTable]) {
        tables.iter().for_each(|table| self.0.put(table.clone()));
    }

    async fn rows(&self, table: &SampleTable) -> Vec<SampleRow> {
        let mut rows = self.0.rows(&table.name);
        rows.sort();
        rows
    }

    async fn hold(&self, table: &TableName) -> Box<dyn Send + Sync> {
        Box::new(self.0.hold(table))
    }

    async fn end_sessions(&self, application_name: &str) {
        self.0.end_sessions(application_name);
    }
}

#[tokio::test]
async fn reset_database() {
    let tables = FakeTables::default();
    contract::reset_database(&Tables(tables.clone())).await;
    assert_eq!(tables.open_transactions(), 0);
}
