using System.Text.Json;

namespace Sluice.Platform.Sql;

/// <summary>
/// A list as one parameter: <c>… WHERE id IN {SqlList.Of("ids")}</c> with <c>ids = SqlList.Json(…)</c>. One parameter for each element would be looked up by name, each in a list of all of them:
/// a thousand ids would cost a million comparisons.
/// </summary>
public static class SqlList
{
    /// <summary>The expression behind IN.</summary>
    public static string Of(string parameter) => $"(SELECT value FROM json_each(@{parameter}))";

    /// <summary>The parameter's value.</summary>
    public static string Json(IEnumerable<long> values) => JsonSerializer.Serialize(values);

    /// <inheritdoc cref="Json(IEnumerable{long})"/>
    public static string Json(IEnumerable<string> values) => JsonSerializer.Serialize(values);
}
