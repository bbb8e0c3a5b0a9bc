using System.Data;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Dapper;
using MySqlConnector;

namespace Sluice.Platform.Sql;

/// <summary>
/// A list as one parameter: <c>… WHERE id IN @ids</c> with <c>ids = SqlList.Of(…)</c>. Each engine gets it in the form in which it looks every element up in an index.
/// </summary>
/// <remarks>
/// SQLite: one parameter and json_each. One parameter for each element would be looked up by name, each in a list of all of them: a thousand ids would cost a million comparisons.
/// MySQL: the values themselves. From a subquery its optimizer would read the whole table for an UPDATE.
/// </remarks>
public sealed class SqlList : SqlMapper.ICustomQueryParameter
{
    private readonly IReadOnlyList<long>? numbers;
    private readonly IReadOnlyList<string>? texts;

    private SqlList(IReadOnlyList<long>? numbers, IReadOnlyList<string>? texts) => (this.numbers, this.texts) = (numbers, texts);

    public static SqlList Of(IEnumerable<long> values) => new([.. values], null);

    /// <inheritdoc cref="Of(IEnumerable{long})"/>
    public static SqlList Of(IEnumerable<string> values) => new(null, [.. values]);

    /// <summary>Called by Dapper: puts the list in the place of its name.</summary>
    public void AddParameter(IDbCommand command, string name)
    {
        var list = command is MySqlCommand ? Values(command, name) : $"(SELECT value FROM json_each({Add(command, "@" + name, JsonSerializer.Serialize<object>((object?)numbers ?? texts!))}))";
        command.CommandText = Regex.Replace(command.CommandText, $"@{name}(?![A-Za-z0-9_])", list.Replace("$", "$$", StringComparison.Ordinal), RegexOptions.None, TimeSpan.FromSeconds(1));
    }

    private string Values(IDbCommand command, string name)
    {
        // An empty list is no syntax there; NULL equals nothing.
        var list = new StringBuilder("(NULL");
        for (var i = 0; i < (numbers?.Count ?? 0); i++)
        {
            list.Append(',').Append(numbers![i].ToString(CultureInfo.InvariantCulture));
        }

        for (var i = 0; i < (texts?.Count ?? 0); i++)
        {
            list.Append(',').Append(Add(command, string.Create(CultureInfo.InvariantCulture, $"@{name}_{i}"), texts![i]));
        }

        return (list.Length > 5 ? list.Remove(1, 5) : list).Append(')').ToString();
    }

    private static string Add(IDbCommand command, string name, object value)
    {
        var parameter = command.CreateParameter();
        (parameter.ParameterName, parameter.Value) = (name, value);
        command.Parameters.Add(parameter);
        return name;
    }
}
