using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;
using Microsoft.Extensions.Configuration;

namespace Sluice.Host;

/// <summary>A setting is unknown or out of its bounds: the start stops, with every such setting named.</summary>
internal sealed class SettingsException(IReadOnlyList<string> wrong) : Exception(string.Join(Environment.NewLine, wrong))
{
    public IReadOnlyList<string> Wrong => wrong;
}

/// <summary>
/// All settings of a node: from <c>appsettings.json</c> (section <c>Sluice</c>), the environment (<c>SLUICE__POOLS__DURABILITY</c>) and the command line
/// (<c>--set Pools:Durability=Committed</c>), the later over the earlier. What nobody reads is refused: a misspelt setting must not pass silently.
/// </summary>
internal sealed class Settings
{
    private readonly IConfiguration configuration;
    private readonly Dictionary<string, object> options = new(StringComparer.OrdinalIgnoreCase);
    private readonly List<string> notDefault = [];

    private Settings(IConfiguration configuration) => this.configuration = configuration;

    /// <summary>Settings that are not at their default, as <c>Name = value</c>.</summary>
    public IReadOnlyList<string> NotDefault => notDefault;

    /// <summary>Every options object whose class is of one section only.</summary>
    public IEnumerable<object> All => options.Values.GroupBy(one => one.GetType()).Where(same => same.Count() == 1).SelectMany(same => same);

    /// <param name="sections">Options class for each section; the section <c>""</c> holds the node's own settings.</param>
    /// <param name="overrides">From the command line, the strongest.</param>
    /// <exception cref="SettingsException">Something is unknown or out of bounds.</exception>
    /// <param name="withheld">Sections that somebody may look for and that there are not, and why.</param>
    public static Settings Load(IReadOnlyDictionary<string, Type> sections, IEnumerable<KeyValuePair<string, string?>> overrides, IReadOnlyDictionary<string, string>? withheld = null)
    {
        var file = new ConfigurationBuilder().AddJsonFile(Path.Combine(AppContext.BaseDirectory, "appsettings.json"), optional: true)
            .AddJsonFile(Path.Combine(Environment.CurrentDirectory, "appsettings.json"), optional: true).Build();

        // Of a setting that is given twice on the command line the last one holds.
        var last = overrides.GroupBy(setting => setting.Key, StringComparer.OrdinalIgnoreCase).Select(given => given.Last());
        var configuration = new ConfigurationBuilder().AddConfiguration(file.GetSection("Sluice")).AddEnvironmentVariables("SLUICE__").AddInMemoryCollection(last).Build();
        var settings = new Settings(configuration);
        var wrong = new List<string>();
        settings.RefuseUnknown(sections, withheld ?? new Dictionary<string, string>(), wrong);
        foreach (var (name, type) in sections)
        {
            settings.Bind(name, type, wrong);
        }

        return wrong.Count == 0 ? settings : throw new SettingsException(wrong);
    }

    public T Get<T>() => options.Values.OfType<T>().Single();

    /// <summary>Of a class that several sections have: those with their sections.</summary>
    public IReadOnlyDictionary<string, T> Each<T>() => options.Where(section => section.Value is T).ToDictionary(section => section.Key, section => (T)section.Value, StringComparer.OrdinalIgnoreCase);

    private void RefuseUnknown(IReadOnlyDictionary<string, Type> sections, IReadOnlyDictionary<string, string> withheld, List<string> wrong)
    {
        var properties = sections.SelectMany(section => section.Value.GetProperties().Where(property => property.CanWrite).Select(property => (Key: Key(section.Key, property), IsList: IsList(property)))).ToList();
        var known = properties.Where(property => !property.IsList).Select(property => property.Key).ToHashSet(StringComparer.OrdinalIgnoreCase);
        var elements = properties.Where(property => property.IsList).SelectMany(list => ElementsOf(list.Key)).Select(element => element.Path).ToHashSet(StringComparer.OrdinalIgnoreCase);
        foreach (var (key, value) in configuration.AsEnumerable().Where(pair => pair.Value is not null))
        {
            if (withheld.FirstOrDefault(section => key.StartsWith($"{section.Key}:", StringComparison.OrdinalIgnoreCase)).Value is { } why)
            {
                wrong.Add($"{key}: {why}");
            }
            else if (!known.Contains(key) && !elements.Contains(key))
            {
                var near = properties.Select(property => property.IsList ? property.Key + ":0" : property.Key).Where(candidate => Nearness(candidate, key) <= 3).Order(StringComparer.OrdinalIgnoreCase).FirstOrDefault();
                wrong.Add($"{key}: there is no such setting{(near is null ? "" : $"; did you mean {near}?")}");
            }
        }
    }

    private void Bind(string section, Type type, List<string> wrong)
    {
        var target = Activator.CreateInstance(type)!;
        foreach (var property in type.GetProperties().Where(property => property.CanWrite))
        {
            var key = Key(section, property);
            var elements = IsList(property) ? ElementsOf(key) : [];
            var text = !IsList(property) ? configuration[key] : elements.Count > 0 ? string.Create(CultureInfo.InvariantCulture, $"{elements.Count} values") : null;
            if (text is null)
            {
                continue;
            }

            object? value;
            try
            {
                value = IsList(property) ? elements.Select(element => element.Value!.Trim()).ToList() : TypeDescriptor.GetConverter(property.PropertyType).ConvertFromInvariantString(text.Trim());
                if (value is Enum && !char.IsAsciiLetter(value.ToString()![0]))
                {
                    // .NET takes any number for an enum; one without a name prints as a number.
                    throw new FormatException();
                }
            }
            catch (Exception e) when (e is ArgumentException or FormatException or OverflowException or NotSupportedException)
            {
                wrong.Add($"{key}: '{Shown(key, text)}' is not {Describe(property.PropertyType)}{Bounds(property)}");
                continue;
            }

            var results = new List<ValidationResult>();
            if (!Validator.TryValidateValue(value!, new ValidationContext(target) { MemberName = property.Name, DisplayName = key }, results, property.GetCustomAttributes<ValidationAttribute>()))
            {
                wrong.Add($"{key}: '{Shown(key, text)}' is out of bounds{Bounds(property)}");
                continue;
            }

            if (!Equals(value, property.GetValue(target)))
            {
                notDefault.Add(string.Create(CultureInfo.InvariantCulture, $"{key} = {(IsSecret(key) ? Shown(key, text) : value)}"));
            }

            property.SetValue(target, value);
        }

        options[section] = target;
    }

    /// <summary>The elements of a list, <c>Name:0</c>, <c>Name:1</c> and so on, in the order of their numbers.</summary>
    private List<IConfigurationSection> ElementsOf(string key) =>
        [.. configuration.GetSection(key).GetChildren().Where(child => child.Value is not null && int.TryParse(child.Key, NumberStyles.None, CultureInfo.InvariantCulture, out _))
            .OrderBy(child => int.Parse(child.Key, CultureInfo.InvariantCulture))];

    private static bool IsList(PropertyInfo property) => property.PropertyType == typeof(IReadOnlyList<string>);

    private static string Key(string section, PropertyInfo property) => section.Length == 0 ? property.Name : $"{section}:{property.Name}";

    private static string Shown(string key, string text) => IsSecret(key) ? "…" : text;

    private static bool IsSecret(string key) =>
        key.EndsWith("Connection", StringComparison.OrdinalIgnoreCase) || key.EndsWith("Password", StringComparison.OrdinalIgnoreCase) ||
        key.Contains("Sql:Readers", StringComparison.OrdinalIgnoreCase) || key.StartsWith("Sql:Shards", StringComparison.OrdinalIgnoreCase) || key.Contains("Secret", StringComparison.OrdinalIgnoreCase) || key.EndsWith("AccessKey", StringComparison.OrdinalIgnoreCase);

    private static string Describe(Type type) =>
        type == typeof(TimeSpan) ? "a time such as 00:00:05" : type == typeof(bool) ? "true or false" : type.IsEnum ? $"one of {string.Join(", ", Enum.GetNames(type))}" : "a number";

    private static string Bounds(PropertyInfo property) =>
        property.GetCustomAttribute<RangeAttribute>() is { } range ? $"; allowed: {range.Minimum} to {range.Maximum}" :
        property.GetCustomAttributes<ValidationAttribute>().FirstOrDefault(rule => rule is not (RangeAttribute or RequiredAttribute)) is { } rule ? $"; {rule.FormatErrorMessage(property.Name)}" : "";

    // Edit distance, for a hint.
    private static int Nearness(string one, string other)
    {
        var row = Enumerable.Range(0, other.Length + 1).ToArray();
        for (var i = 1; i <= one.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= other.Length; j++)
            {
                var cost = char.ToUpperInvariant(one[i - 1]) == char.ToUpperInvariant(other[j - 1]) ? 0 : 1;
                (diagonal, row[j]) = (row[j], Math.Min(Math.Min(row[j] + 1, row[j - 1] + 1), diagonal + cost));
            }
        }

        return row[^1];
    }
}
