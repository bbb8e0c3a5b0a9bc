using System.Data.Common;
using MySqlConnector;

namespace Sluice.Platform.Sql;

/// <summary>The words in which the engines' SQL differs. A statement takes them from its transaction and is written once.</summary>
public static class Dialect
{
    /// <summary>
    /// At the end of a SELECT: locks the rows until the transaction ends. SQLite needs no word, its writer is alone from the first statement on.
    /// Locks are taken in one order everywhere, so that nobody waits in a circle: orders, pools by id, claims.
    /// </summary>
    public static string ForUpdate(DbTransaction transaction) => transaction is MySqlTransaction ? " FOR UPDATE" : "";

    /// <summary>Behind an INSERT, before the assignments for the row that has the key already.</summary>
    /// <param name="key">The column, or columns, of the unique key. (MySQL takes any unique key of the table.)</param>
    public static string OrUpdate(DbTransaction transaction, string key) =>
        transaction is MySqlTransaction ? "ON DUPLICATE KEY UPDATE" : $"ON CONFLICT ({key}) DO UPDATE SET";
}
