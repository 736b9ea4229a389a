"""The words of the tiny world's neutral exchanges, Spanish and English, written by hand.

Spanish nouns carry their gender so that articles and adjectives agree. Nothing here belongs to any persona.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thing:
    """A noun with its article and an agreeing adjective, ready for `{thing.el}`, `{thing.adj}` in a pattern."""

    el: str
    un: str
    name: str
    adj: str


def rows(text: str) -> tuple[str, ...]:
    """The parts of a text between bars."""
    return tuple(part.strip() for part in text.replace("\n", " ").split("|") if part.strip())


# Gender before each noun, m or f
NOUNS = rows("""
m:café|m:té|m:pan|m:queso|m:arroz|m:helado|m:chocolate|m:zumo|m:pescado|m:bocadillo|m:desayuno|m:libro|m:cuento|
m:juego|m:mando|m:teclado|m:ordenador|m:programa|m:código|m:error|m:lenguaje|m:jardín|m:parque|m:mar|m:río|
m:bosque|m:tren|m:coche|m:barco|m:avión|m:perro|m:gato|m:pájaro|m:caballo|m:robot|m:sueño|m:disco|m:piano|
m:baile|m:teatro|m:cine|m:museo|m:mapa|m:viaje|m:fin de semana|m:verano|m:invierno|m:otoño|m:viento|m:sol|
m:cielo|m:silencio|m:trabajo|m:examen|m:ejercicio|m:vecino|m:plan|m:regalo|m:reloj|m:cuaderno|m:dibujo|
m:color azul|m:color verde|m:lunes|m:martes|m:viernes|m:sábado|m:domingo|m:directo|m:chat|m:universo|m:planeta|
m:concierto|m:partido|m:equipo|m:videojuego|m:jefe final|m:nivel|m:puzle|m:récord|m:problema|m:día|f:pizza|
f:sopa|f:tortilla|f:fruta|f:manzana|f:piña|f:leche|f:agua|f:cena|f:comida|f:cocina|f:receta|f:novela|f:poesía|
f:película|f:serie|f:canción|f:guitarra|f:música|f:radio|f:foto|f:cámara|f:consola|f:partida|f:pantalla|
f:máquina|f:ciudad|f:playa|f:montaña|f:nieve|f:lluvia|f:tormenta|f:luna|f:estrella|f:noche|f:tarde|f:mañana|
f:primavera|f:siesta|f:casa|f:ventana|f:lámpara|f:silla|f:bicicleta|f:calle|f:plaza|f:biblioteca|f:escuela|
f:clase|f:historia|f:ciencia|f:física|f:pintura|f:letra|f:carta|f:idea|f:pregunta|f:respuesta|f:sorpresa|
f:fiesta|f:familia|f:amistad|f:vida|f:nave|f:galaxia|f:memoria|f:versión|f:prueba|f:fuente|f:pantera|f:tortuga|
f:ballena|f:abeja|f:hormiga|f:semana|f:tienda|f:camisa|f:chaqueta|f:mochila|f:batalla|f:espada|f:aventura
""")
# Masculine form, then feminine
ADJECTIVES = rows("""
bueno/buena|bonito/bonita|tranquilo/tranquila|divertido/divertida|curioso/curiosa|sencillo/sencilla|útil/útil|
interesante/interesante|agradable/agradable|antiguo/antigua|moderno/moderna|pequeño/pequeña|grande/grande|
famoso/famosa|raro/rara|difícil/difícil|fácil/fácil|rápido/rápida|lento/lenta|claro/clara|oscuro/oscura|
largo/larga|corto/corta|suave/suave|fuerte/fuerte|caro/cara|barato/barata|perfecto/perfecta|
importante/importante|nuevo/nueva|clásico/clásica|sano/sana|frío/fría|caliente/caliente|alegre/alegre|
triste/triste
""")
PEOPLE = rows("""
mi hermano|mi hermana|mi madre|mi padre|mi abuela|mi abuelo|mi primo|mi vecina|mi jefa|mi profesora|un amigo|
una amiga|mi gato|mi perro|mi compañero|mi equipo|todo el mundo|la gente|Lucía|Pablo|Marta|Diego|Elena|Hugo|
Carmen|Javier|Nuria|Iván|Olmo|Nerea|Gael|Aroa|Unai|Greta|Teo|Petra|Yago|Adela|Blas|Cloe
""")
NAMES = rows("""
Lucía|Pablo|Marta|Diego|Elena|Hugo|Carmen|Javier|Nuria|Iván|Sara|Leo|Irene|Tomás|Clara|Bruno|Alba|Rubén|Olmo|Nerea|Gael|Aroa|Unai|
Greta|Teo|Petra|Yago|Adela|Blas|Cloe
""")
HOBBIES = rows("""
leer|cocinar|pintar|programar|bailar|cantar|nadar|correr|dibujar|escribir|viajar|jugar al ajedrez|
jugar a la consola|ver series|ver películas|escuchar música|tocar la guitarra|tocar el piano|
montar en bicicleta|pasear por el parque|dormir la siesta|hacer fotos|cuidar las plantas|aprender idiomas|
mirar las estrellas|estudiar física|ordenar la casa|hacer pan|ver el directo
""")
MOMENTS = rows("""
hoy|mañana|esta tarde|esta noche|esta mañana|este fin de semana|el lunes|el martes|el jueves|el viernes|
el domingo|por la mañana|por la tarde|por la noche|después de comer|antes de dormir|en verano|en invierno|
a las ocho|a las nueve|en un rato|la semana que viene
""")
REASONS = rows("""
ayuda a pensar|da calma|se aprende mucho|alegra el día|une a la gente|
es fácil de entender|siempre sorprende|cuesta poco|descansa la mente|
pide paciencia|tiene muchos detalles|recuerda a otros tiempos|hace compañía|
despierta la curiosidad|no hay prisa|sabe bien
""")
FEELINGS = rows("""
contento|cansada|nervioso|tranquila|aburrido|con sueño|con hambre|con prisa|un poco triste|de buen humor|
sin ganas de nada|con muchas ganas|algo perdido|muy feliz|con frío|con calor|preocupada|emocionado
""")
ADVICE = rows("""
descansa un poco|bebe agua|da un paseo corto|habla con alguien de confianza|empieza por lo más fácil|
apunta tus ideas|respira despacio|duerme bien|haz una lista corta|pide ayuda si la necesitas|
prueba otra vez con calma|escucha una canción|lee un rato|apaga la pantalla un momento|ve paso a paso|
come algo ligero
""")
# Country, then its capital
CAPITALS = rows("""
España:Madrid|Francia:París|Italia:Roma|Portugal:Lisboa|Alemania:Berlín|Japón:Tokio|Perú:Lima|Chile:Santiago|
Cuba:La Habana|Colombia:Bogotá|Ecuador:Quito|Grecia:Atenas|Irlanda:Dublín|Noruega:Oslo|Egipto:El Cairo|
Kenia:Nairobi|Canadá:Ottawa|Austria:Viena
""")
COLOURS = rows("""
el cielo:azul|la nieve:blanca|la noche:oscura|el carbón:negro|el limón:amarillo|la hierba:verde|la sangre:roja|
la leche:blanca|el mar:azul|la naranja:naranja|el sol:amarillo|la luna:blanca|el café:marrón|la fresa:roja|
el humo:gris|el trigo:dorado
""")
AUTHORS = rows("""
escribió el Quijote:Miguel de Cervantes|pintó Las Meninas:Diego Velázquez|pintó el Guernica:Pablo Picasso|
propuso la relatividad:Albert Einstein|descubrió el radio:Marie Curie|escribió el primer programa:Ada Lovelace|
pintó La Gioconda:Leonardo da Vinci|escribió Hamlet:William Shakespeare|
formuló la ley de la gravedad:Isaac Newton|miró la luna con un telescopio:Galileo Galilei|
compuso la Novena Sinfonía:Beethoven|escribió Cien años de soledad:García Márquez
""")
SEASONS = rows("""
florecen los árboles:en primavera|hace más calor:en verano|caen las hojas:en otoño|hace más frío:en invierno|
sale el sol:por la mañana|se ven las estrellas:por la noche|se desayuna:por la mañana|se cena:por la noche|
se duerme la siesta:después de comer|empieza la semana:el lunes|termina el año:en diciembre|
empieza el año:en enero|llegan las vacaciones largas:en verano
""")
OPPOSITES = rows("""
alto:bajo|frío:caliente|día:noche|lleno:vacío|rápido:lento|claro:oscuro|fácil:difícil|nuevo:viejo|dentro:fuera|
cerca:lejos|abrir:cerrar|subir:bajar|empezar:terminar|reír:llorar|mucho:poco|antes:después|pregunta:respuesta|
verdad:mentira
""")
MEANINGS = rows("""
un planeta:un cuerpo grande que gira alrededor de una estrella|
un algoritmo:una lista de pasos para resolver un problema|la gravedad:la fuerza que atrae a los cuerpos|
un eclipse:el paso de un astro por delante de otro|un poema:un texto que cuida el ritmo|
una galaxia:un grupo enorme de estrellas|un robot:una máquina que sigue órdenes|
la memoria:lo que guarda el pasado|un compilador:un programa que traduce código|
un volcán:una montaña que puede expulsar lava|la lluvia:agua que cae de las nubes|
un bucle:una parte del programa que se repite|un error:algo que no sale como se esperaba|
una red:un grupo de puntos unidos|un directo:un programa que se ve mientras ocurre|
una broma:algo que se dice para hacer reír
""")
NUMBERS = rows("""
cero|uno|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|once|doce|trece|catorce|quince|dieciséis|diecisiete|
dieciocho
""")

VERBS = rows("""
tiene|mira|quiere|busca|deja|trae|lleva|pierde|encuentra|guarda|rompe|arregla|limpia|prueba|compra|vende|olvida|
recuerda|pide|espera|cambia|esconde|enseña|cuenta|odia|prefiere|estudia|prepara|dibuja|entiende|pone|quita|mueve
""")

EN_NOUNS = rows("""
coffee|tea|bread|cheese|chocolate|music|rain|snow|the sea|the forest|a good book|a short story|a long walk|
a quiet evening|a video game|an old game|a new song|a small garden|a train ride|the weekend|summer|winter|
the night sky|a cat|a dog|a robot|a simple program|clean code|a hard puzzle|a warm soup|pizza|a nice film|
a funny series|a city trip|the beach|the mountains
""")
EN_ADJECTIVES = rows("""
nice|quiet|useful|simple|funny|strange|small|great|slow|fast|clear|warm|cold|famous|hard|easy|calm|bright
""")
EN_HOBBIES = rows("""
read|cook|paint|write code|dance|sing|swim|run|draw|travel|play chess|play games|watch films|listen to music|
take photos|sleep late
""")
EN_REASONS = rows("""
it helps you think|it is calm|you learn a lot|it is easy to enjoy|
it brings people together|it always surprises|there is no hurry|
it makes the day better
""")
EN_ADVICE = rows("""
rest a little|drink some water|take a short walk|talk to someone you trust|start with the easy part|
write your ideas down|breathe slowly|sleep well|ask for help|try again calmly|go step by step
""")
EN_FEELINGS = rows("tired|happy|nervous|bored|sleepy|hungry|a bit sad|in a good mood|lost|excited|cold|busy")
EN_MOMENTS = rows("""
today|tomorrow|this evening|tonight|this weekend|on Monday|on Friday|in the morning|after lunch|before bed|
in summer
""")
EN_NUMBERS = rows("""
zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|
eighteen
""")
