using System.ComponentModel.DataAnnotations;

namespace Sluice.Platform.Sql;

/// <summary>A database of a module's own, beside the main one that <see cref="SqlOptions"/> names. Which modules may have one, and how a shop that has run moves there: docs/services.md.</summary>
public sealed class ModuleSqlOptions
{
    /// <summary>
    /// Empty: the module's tables are in the main database. Otherwise a connection string as in <c>Sql:Connection</c>, of a MySQL or MariaDB server and a database that exists; the first start makes the module's tables there.
    /// Nodes that only use what the module has to say need no more than the right to read there.
    /// </summary>
    [OwnSqlConnectionString] public string Connection { get; init; } = "";

    /// <summary>Connection strings of servers that have the same data and are only read, as in <c>Sql:Readers</c>; <c>Readers:0</c>, <c>Readers:1</c> and so on, 16 at most.</summary>
    [SqlConnectionStrings] public IReadOnlyList<string> Readers { get; init; } = [];

    /// <summary>Begin with empty tables there although the main database has rows in its own ones. Without it such a start is refused: it would be a shop that has forgotten its users or its products.</summary>
    public bool StartEmpty { get; init; }

    /// <summary>The module has a database of its own.</summary>
    internal bool IsOwn => Connection.Length > 0;

    /// <summary>Where to connect to; the limits and times are those of the main database.</summary>
    internal SqlOptions Over(SqlOptions main) => main with { Connection = Connection, Readers = Readers, Shards = [] };

    /// <summary>Settings that say two things at once, one sentence each.</summary>
    public IEnumerable<string> Contradictions(string module)
    {
        if (!IsOwn && (Readers.Count > 0 || StartEmpty))
        {
            yield return $"{module}:Sql:Readers, {module}:Sql:StartEmpty: {module}:Sql:Connection names no database";
        }
    }
}

/// <summary>Nothing, or what MySqlConnector reads and that names server, user and database.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class OwnSqlConnectionStringAttribute() : ValidationAttribute("leave it empty, or write Server=…;Port=…;User ID=…;Password=…;Database=…")
{
    public override bool IsValid(object? value) => value is string text && (text.Length == 0 || SqlConnectionStringAttribute.IsServer(text));
}
