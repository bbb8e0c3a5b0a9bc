using System.Reflection;
using System.Security.Cryptography;
using System.Text;

namespace Sluice.Platform.Redis;

/// <summary>A Lua script embedded beside the one C# file that calls it. Runs on Redis (Lua 5.1) and Garnet (Lua 5.4); every key it touches is in KEYS.</summary>
public sealed class RedisScript
{
    private RedisScript(string text)
    {
        Text = text;
#pragma warning disable CA5350 // Redis names scripts by SHA-1; nothing is secured by it.
        Sha1 = SHA1.HashData(Encoding.UTF8.GetBytes(text));
#pragma warning restore CA5350
    }

    /// <summary>The script, for EVAL.</summary>
    public string Text { get; }

    /// <summary>Its name on the server, for EVALSHA: Redis names scripts by SHA-1.</summary>
    public byte[] Sha1 { get; }

    /// <summary>Loads <c>name</c> from the assembly's resources.</summary>
    public static RedisScript Load(string name, Assembly? from = null)
    {
        var assembly = from ?? typeof(RedisScript).Assembly;
        using var stream = assembly.GetManifestResourceStream(name) ?? throw new InvalidOperationException($"No script {name} in {assembly.GetName().Name}.");
        using var reader = new StreamReader(stream, Encoding.UTF8);
        return new RedisScript(reader.ReadToEnd());
    }
}
